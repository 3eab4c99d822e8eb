"""The command `hpo plot`: pictures of a study, from its rows."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo import report
from hpo.cli import options
from hpo.config import Config
from hpo.errors import HpoError, StudyError
from hpo.plots import KINDS

if TYPE_CHECKING:
    from hpo.plots.story import Story

SUFFIXES = (".html", ".png", ".svg")


@click.command()
@options.study
@click.argument("kinds", metavar="[KIND]...", nargs=-1, type=click.Choice(KINDS))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .html, .png or .svg file; STUDY.html by default.",
)
@click.option("--param", "params", metavar="ADDRESS", multiple=True, help="Of slice, parallel and contour; repeatable.")
@click.pass_obj
def plot(config: Config, study: str, kinds: tuple[str, ...], out: Path | None, params: tuple[str, ...]) -> None:
    """Draw a study: history, curves, importance, slice, parallel, contour, timeline, cost.

    Without KIND all of them, as one page of HTML, or as one .png or .svg file each. Pruned trials count with the best
    value they reached; importance is PED-ANOVA's.

    Example: hpo plot -s bert-news slice --param learning_rate --out rate.png
    """
    options.check_out(out, *SUFFIXES)
    check_extra("plot")
    from hpo.plots import draw, story

    name = options.name_of(study)
    order = draw.Order(out or Path(f"{name}.html"), tuple(dict.fromkeys(kinds)), params)
    with report.read(config) as rows:
        read = story.read(rows, name)
    try:
        written, said = draw.save(read, order, shares)
    except OSError as error:
        raise HpoError(f"--out {order.out}: {error.strerror}") from None
    for line in said:
        click.echo(line, err=True)
    for path in written:
        click.echo(path)


def check_extra(command: str) -> None:
    """Refuse a command that draws where there is no matplotlib; raises HpoError."""
    if importlib.util.find_spec("matplotlib") is None:
        raise HpoError(f"hpo {command} needs the extra plot; pip install matplotlib pylopdf-fonts-zh-cn")


def shares(story: Story) -> Mapping[str, float]:
    """The importance of each parameter; what computes it is imported when it is asked for."""
    from hpo import importance

    points = [(row["params"], row["best_value"]) for row in story.valued]
    if len(points) < importance.FEWEST or len({value for _, value in points}) < 2:
        needed = f"importance needs {importance.FEWEST} trials that have ended with different values"
        raise StudyError(f"{story.spec.study}: {needed}; there are {len(points)}")
    return importance.importances(story.spec.search, points, story.direction)
