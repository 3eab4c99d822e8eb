"""The command `hpo errors`: what a model gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpo.cli import options
from hpo.config import Config

if TYPE_CHECKING:
    from hpo.inspection import Inspection

_LABEL = 18  # columns of a terminal for a class
_SLICES = 20


@click.command()
@options.study
@click.option("--trial", type=click.IntRange(0), help="Of this trial; by default of the best.")
@click.option(
    "--split", type=click.Choice(["valid", "test"]), help="Rows of a search, or those that a promotion tested."
)
@click.option("--slice", "column", metavar="COLUMN", help="Metrics for each value of this column; data.slice.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="So many mistakes, and pairs.")
@options.as_json
@click.pass_obj
def errors(
    config: Config, study: str, trial: int | None, split: str | None, column: str | None, top: int, as_json: bool
) -> None:
    """What a study's model gets wrong: mistakes to read, confused classes, slices, calibration.

    Nothing is trained: a search keeps what its ten best trials said of the validation rows, a promotion what each
    model said of the test rows. Texts are read again from the data, where it is on this machine.

    Example: hpo errors -s bert-news --top 5
    """
    from hpo import inspection, report, tables

    wish = inspection.Wish(options.name_of(study), trial, split, column, top)
    with report.read(config) as rows:
        found = inspection.inspect(rows, wish, config.data_root)
    if as_json:
        tables.print_json(found.plain())
    else:
        _show(found)


def _show(found: Inspection) -> None:
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in found.metrics.items())
    wrong = f"{found.wrong} of {found.rows} {found.split} rows are wrong"
    click.echo(f"{found.study}, trial {found.trial}, evaluation {found.step}: {wrong}; {metrics}")
    if found.asked.missing:
        click.echo(f"rows without their text: {found.asked.missing}", err=True)
    if found.mistakes:
        _show_mistakes(found)
        _show_confused(found)
    if found.slices:
        _show_slices(found)
    _show_calibration(found)


def _show_mistakes(found: Inspection) -> None:
    from hpo import tables

    rows: list[tuple[Any, ...]] = []
    for one in found.mistakes:
        where, text = found.read(one.row)
        classes = (tables.shortened(name, _LABEL) for name in (one.truth, one.predicted))
        rows.append((one.row, where, *classes, f"{one.probability:.3f}", text or ""))
    columns = ("row", "where", "true", "predicted", "probability", "text")
    click.echo("\nthe most confident mistakes")
    if found.asked.missing:
        tables.show([(row[0], *row[2:5]) for row in rows], ("row", *columns[2:5]))
        return
    console = tables.console()
    console.print(tables.fitted(console, rows, columns))


def _show_confused(found: Inspection) -> None:
    from hpo import tables

    rows = ((one.truth, one.predicted, one.rows, f"{one.share:.3f}") for one in found.confused)
    click.echo("\nthe most confused classes; share is of the rows of the true class")
    tables.show(rows, ("true", "predicted", "rows", "share"))


def _show_slices(found: Inspection) -> None:
    from hpo import tables

    rows = [
        (one.value or "(empty)", one.rows, f"{one.accuracy:.3f}", f"{one.f1_macro:.3f}", one.note)
        for one in found.slices[:_SLICES]
    ]
    options.say(f"\nby {found.column}")
    tables.show(rows, (str(found.column), "rows", "accuracy", "f1_macro", ""))
    if len(found.slices) > _SLICES:
        click.echo(f"and {len(found.slices) - _SLICES} values more, with fewer rows; --json has all")


def _show_calibration(found: Inspection) -> None:
    from hpo import tables

    rows = (
        (f"{one.low:.1f} to {one.high:.1f}", one.rows, f"{one.confidence:.3f}", f"{one.accuracy:.3f}")
        for one in found.calibration.bins
    )
    columns = ("probability", "rows", "mean", "accuracy")
    click.echo(f"\ncalibration: expected calibration error {found.calibration.error:.3f}")
    tables.show(rows, columns)
