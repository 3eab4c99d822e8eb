"""The command `hpo cost`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from hpo import report, tables
from hpo.cli import options
from hpo.config import Config

if TYPE_CHECKING:
    from hpo.spending import Saving, Spending

_UNSPLIT = "not split"
_WHY_UNKNOWN = {
    "pruning": "no evaluation says how long an epoch took",
    "caching": "the states were computed outside this study, or by an earlier version",
}


@click.command()
@options.study
@click.option("--rate", metavar="PRICE", type=options.PRICE, help="Price of a worker's hour, such as 2.49.")
@options.as_json
@click.pass_obj
def cost(config: Config, study: str, rate: float | None, as_json: bool) -> None:
    """What a study has cost in hours, on what, what became of it, and what is left to do.

    Hours are those of all workers together. What pruning and the cache saved is an estimate, and so is what is left.

    Example: hpo cost -s bert-news --rate 2.50
    """
    from hpo.spending import price, spending

    name = options.name_of(study)
    with report.read(config) as rows:
        found = rows.study(name)
        live = sum(1 for trial in rows.running(name) if trial["activity"] == "running")
        spent = spending(rows.spent(name), found["remaining"] + found["waiting"])
    asked = None if rate is None else {"rate": rate, **price(spent, rate)}
    if as_json:
        tables.print_json({"study": name, "state": found["state"], **spent.plain(), "workers": live, "price": asked})
        return
    _show(spent)
    for line in (*_saved(spent), *_left(spent, live), *_priced(asked)):
        click.echo(line)


def _show(spent: Spending) -> None:
    """The sums, each as a table with shares."""
    phases = {**spent.phases, _UNSPLIT: spent.unsplit}
    sums = {"on": spent.devices, "spent on": phases, "what became of it": spent.outcomes}
    lines: list[tuple[Any, ...]] = [("work", *_hours(spent.work)), ("waiting between trials", *_hours(spent.waiting))]
    for title, parts in sums.items():
        lines += [("",) * 4, (f"{title}:", *("",) * 3)]
        lines += [(f"  {name}", *_hours(seconds, spent.work)) for name, seconds in parts.items()]
    tables.show(lines, ("", "hours", "time", "share"))


def _hours(seconds: float, whole: float = 0.0) -> tuple[str, str, str]:
    return f"{seconds / 3600:.3f}", tables.duration(seconds), f"{seconds / whole:.0%}" if whole else ""


def _saved(spent: Spending) -> Iterator[str]:
    yield ""
    for what, saving in spent.savings.items():
        yield f"saved by {what}: {_estimate(saving, _WHY_UNKNOWN[what])}"


def _estimate(saving: Saving, why: str) -> str:
    if saving.known is None:
        return f"not known: {why}"
    beside = f"; of {_trials(saving.unknown)} it is not known" if saving.unknown else ""
    sign = "-" * (saving.seconds < 0)
    return f"about {sign}{tables.duration(abs(saving.seconds))}, of {_trials(saving.trials)}{beside}"


def _trials(count: int) -> str:
    return f"{count} trial{'s' * (count != 1)}"


def _left(spent: Spending, live: int) -> Iterator[str]:
    if spent.to_finish is None:
        yield "to finish: not known before the first trial is over"
        return
    here = spent.to_finish / live if live else 0.0
    workers = f", {tables.duration(here)} with the workers that run trials now ({live})" if here else ""
    yield f"to finish: about {tables.duration(spent.to_finish)} of work{workers}"


def _priced(asked: Mapping[str, float | None] | None) -> Iterator[str]:
    if asked:
        left = "not known" if asked["to_finish"] is None else f"about {asked['to_finish']:.2f}"
        yield f"price: {asked['spent']:.2f} so far, waiting between trials included; to finish: {left}"
