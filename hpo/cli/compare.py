"""The command `hpo compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpo.cli import completion, options
from hpo.config import Config
from hpo.errors import HpoError

if TYPE_CHECKING:
    from hpo.compare import Comparison, Contestant, Promoted
    from hpo.store import Store

KINDS = ("majority", "tfidf", "zero-shot")
METRICS = ("accuracy", "precision_macro", "recall_macro", "f1_macro")
SUFFIXES = (".html", ".png", ".svg")


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, shell_complete=completion.studies)
@click.option(
    "--on",
    metavar="STUDY|FILE",
    multiple=True,
    shell_complete=completion.studies,
    help="Test the models on the test rows of this study, or on a file of rows; repeatable.",
)
@click.option("--baseline", "baselines", type=click.Choice(KINDS), multiple=True, help="A simple rule; repeatable.")
@click.option(
    "--label-text",
    "texts",
    metavar="CLASS=TEXT",
    multiple=True,
    help="What stands for a class in zero-shot; repeatable.",
)
@click.option("--metric", type=click.Choice(METRICS), default="f1_macro", show_default=True, help="What is tested.")
@click.option("--promote", "promoting", is_flag=True, help="Promote studies that were not, with --top 1.")
@click.option("-w", "--workers", type=click.IntRange(1), help="Of --promote: processes; by default one a device.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="A .png, .svg or .html file: a chart."
)
@options.allow_code
@options.as_json
@click.pass_obj
def compare(  # noqa: PLR0913, PLR0917 - an argument an option
    config: Config,
    studies: tuple[str, ...],
    on: tuple[str, ...],
    baselines: tuple[str, ...],
    texts: tuple[str, ...],
    metric: str,
    promoting: bool,
    workers: int | None,
    out: Path | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Compare promoted studies and simple rules on the same test rows.

    Of each study the winner of its promotion is taken, with all its seeds; of one that searched data.shots, the winner
    of each number of rows. Each pair is tested by a paired bootstrap over rows and seeds, with Holm's correction. With
    --on the models are tested on other rows than their own: a table of models, of studies or in folders that promote
    wrote, by domains.

    Example: hpo compare bert-news news-shots --baseline majority --baseline tfidf --out compare.png
    """
    from hpo import compare as comparing
    from hpo import report
    from hpo.store import open_store

    _check(out, baselines, texts, studies, on)
    config = options.allowing(config, allow_code)
    folders = [study for study in studies if _is_model(study)]
    names = list(dict.fromkeys(options.name_of(study) for study in studies if study not in folders))
    with open_store(config) as store, report.read(config) as rows:
        if promoting:
            _promote(config, store, names, workers)
        if on:
            _cross(config, store, [*names, *folders], on, metric, out, as_json)
            return
        promoted = [comparing.promoted(store, rows, name) for name in names]
        comparing.check_same(promoted)
        found = [one for study in promoted for one in comparing.contestants(rows, study)]
    found += _rules(config, promoted[0], baselines, texts, found)
    answer = comparing.compared(found, metric, promoted[0].own.spec.seed)
    _say(answer, as_json)
    if out is not None:
        _draw(answer, out)


def _is_model(study: str) -> bool:
    from hpo import domains

    return domains.is_model(study)


def _check(
    out: Path | None,
    baselines: tuple[str, ...],
    texts: tuple[str, ...],
    studies: tuple[str, ...],
    on: tuple[str, ...],
) -> None:
    """Refuse what cannot be done before anything is; raises HpoError."""
    from importlib.util import find_spec

    folder = next(filter(_is_model, studies), None)
    if folder is not None and not on:
        raise HpoError(f"{folder}: is a model's folder; --on STUDY or FILE names the rows to test it on")
    if on and baselines:
        raise HpoError("--baseline is for studies on their own test rows; leave it, or --on, out")
    options.check_out(out, *SUFFIXES)
    if out is not None and find_spec("matplotlib") is None:
        raise HpoError("hpo compare --out needs the extra plot; pip install matplotlib pylopdf-fonts-zh-cn")
    if texts and "zero-shot" not in baselines:
        raise HpoError("--label-text is for --baseline zero-shot, which is not asked for")


def _promote(config: Config, store: Store, names: list[str], workers: int | None) -> None:
    """Promote the studies that were not, or go on with it."""
    from hpo import promote as promoting
    from hpo.cli.promote import planned, work
    from hpo.launch import devices as cuda
    from hpo.promote import Wish

    devices, _ = cuda.roomy(cuda.allowed(config.devices, None))
    for name in names:
        wish = Wish() if promoting.earlier(store, name) else Wish(top=1)
        _, spec = planned(config, store, name, wish)
        work(config, store, spec, workers or max(1, len(devices)), devices)


def _cross(
    config: Config,
    store: Store,
    names: list[str],
    on: tuple[str, ...],
    metric: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Models by domains."""
    from hpo.cli import domains

    found = domains.crossed(config, store, names, on, metric)
    domains.say(found, as_json)
    if out is not None:
        _written(out, lambda: domains.draw(found, out))


def _rules(
    config: Config, study: Promoted, kinds: tuple[str, ...], texts: tuple[str, ...], among: list[Contestant]
) -> list[Contestant]:
    """The baselines that are asked for, on the rows of the first study."""
    if not kinds:
        return []
    from hpo import baselines

    here = baselines.ground(config, study)
    names = baselines.texts_of(here.classes, texts)
    made = (baselines.made(config, here, kind, names, among) for kind in dict.fromkeys(kinds))
    return [one for some in made for one in some]


def _say(found: Comparison, as_json: bool) -> None:
    from hpo import tables

    if as_json:
        tables.print_json(_plain(found))
        return
    columns = ["", "seeds", *(name.removesuffix("_macro") for name in METRICS), "95 % interval", "search", "training"]
    tables.show((_row(found, place) for place in range(len(found.contestants))), columns)
    click.echo()
    pairs = (
        [pair.one, pair.other, round(pair.difference.mean, 4), _range(pair.difference), round(pair.p, 4), pair.said]
        for pair in found.pairs
    )
    tables.show(pairs, ["one", "other", f"{found.metric} by", "95 % interval", "p", ""])
    click.echo(
        f"\n{found.rows} test rows. The interval is that of {found.metric}, over rows and seeds; p is Holm's, of "
        f"{len(found.pairs)} pairs; search and training are the time of one worker."
    )


def _row(found: Comparison, place: int) -> list[Any]:
    from hpo.tables import duration

    one, measures = found.contestants[place], found.measures[place]
    means = [round(measures[name].mean, 4) for name in METRICS]
    spent = ["" if seconds is None else duration(seconds) for seconds in (one.search, one.training)]
    return [one.name, len(one.seeds) or None, *means, _range(measures[found.metric]), *spent]


def _range(found: Any) -> str:
    return f"{found.low:.4f} to {found.high:.4f}"


def _plain(found: Comparison) -> dict[str, Any]:
    """Ready for JSON."""
    from dataclasses import asdict

    entries = [
        {
            "name": one.name,
            "configuration": one.chosen,
            "params": dict(one.params),
            "shots": one.shots,
            "seeds": list(one.seeds),
            "search_seconds": one.search,
            "training_seconds": one.training,
            "measures": {name: asdict(value) for name, value in measures.items()},
        }
        for one, measures in zip(found.contestants, found.measures, strict=True)
    ]
    pairs = [asdict(pair) | {"verdict": pair.said} for pair in found.pairs]
    return {"metric": found.metric, "test_rows": found.rows, "compared": entries, "pairs": pairs}


def _draw(found: Comparison, out: Path) -> None:
    from hpo.plots import beside

    entries = [
        beside.Entry(one.name, measures[found.metric], is_rule=one.chosen is None)
        for one, measures in zip(found.contestants, found.measures, strict=True)
    ]
    _written(out, lambda: beside.save(out, found.metric, found.rows, entries))


def _written(out: Path, draw: Callable[[], list[str]]) -> None:
    """Draw into a file, and say what there is to say; raises HpoError."""
    try:
        said = draw()
    except OSError as error:
        raise HpoError(f"--out {out}: {error.strerror}") from None
    for line in (*said, str(out)):
        click.echo(line, err=True)
