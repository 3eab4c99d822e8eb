"""What the live view shows, in any width: progress, a line a worker, the best, what was spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo import tables
from hpo.spending import Spending

Row = dict[str, Any]
TICKS = "▁▂▃▄▅▆▇█"
PLAIN_TICKS = "_.-=+*#@"
"""For terminals whose encoding has no others."""
AROUND = 8  # lines of the panel beside the workers'
FEWEST = 3  # workers are shown, however low the terminal


@dataclass(frozen=True)
class Space:
    """What there is room for, in columns and lines of a terminal, and in which letters."""

    width: int
    height: int
    ticks: str = TICKS


def panel(state: Row, clock: str, space: Space) -> RenderableType:
    """The whole view of a state as `hpo.report.Report.watched` gives it, no line of it wider than there is room."""
    trials = state["trials_running"]
    most = max(space.height - AROUND, FEWEST)
    shown = trials if len(trials) <= most else trials[: most - 1]
    lines = [counts(state), *spent(state.get("spending")), ""]
    below = [f"and {len(trials) - len(shown)} more"] if len(shown) < len(trials) else []
    return Group(
        _head(state, clock, space),
        *(_line(line) for line in lines),
        *([_workers(shown, space)] if shown else []),
        *(_line(line) for line in (*below, "")),
        _line(best(state) or "no trial is complete yet", "green"),
    )


def finished(state: Row) -> int:
    """How many trials are over, however they ended."""
    return int(state["complete"] + state["pruned"] + state["failed"])


def left(state: Row) -> int:
    """How many trials are still to be run or to be ended."""
    return int(state["running"] + state["waiting"] + state["remaining"])


def running(state: Row) -> int:
    """How many trials some worker runs now."""
    return sum(1 for trial in state["trials_running"] if trial["activity"] == "running")


def counts(state: Row) -> str:
    """The counts of a study in words."""
    queued = state["waiting"] + state["remaining"]
    held = f"{state['state']}: " if state.get("state") in ("paused", "stopped") else ""
    return (
        f"{held}{state['complete']} done, {state['pruned']} pruned, {running(state)} running, "
        f"{state['failed']} failed, {queued} queued"
    )


def best(state: Row, ago: bool = True) -> str:
    """The best trial so far, and, with `ago`, when it was found; empty while there is none."""
    found = state["best"]
    if not found:
        return ""
    seconds = found.get("seconds_ago") if ago else None
    when = "" if seconds is None else f", {tables.duration(seconds)} ago"
    return f"best {state['metric']} {tables.shown(found['value'])} (trial {found['number']}{when})"


def spent(found: Spending | None) -> list[str]:
    """What was spent and saved, in a line; none where it is not known or nothing was."""
    if found is None or not found.work:
        return []
    hours = ", ".join(f"{seconds / 3600:.2f} {_unit(device)}" for device, seconds in found.devices.items())
    saved = [f"{tables.duration(one.seconds)} by {what}" for what, one in found.savings.items() if one.seconds >= 1]
    return [f"spent {hours}" + (f"; saved about {', '.join(saved)}" if saved else "")]


def sparkline(values: Sequence[float | None], most: int, ticks: str = TICKS) -> str:
    """The last `most` values as bars, from the lowest to the highest of them; a blank where one was not finite."""
    last = values[-most:]
    known = [value for value in last if value is not None and math.isfinite(value)]
    if not known:
        return " " * len(last)
    low, high = min(known), max(known)
    scale = (len(ticks) - 1) / (high - low) if high > low else 0.0
    return "".join(
        ticks[round((value - low) * scale)] if value is not None and math.isfinite(value) else " " for value in last
    )


def _head(state: Row, clock: str, space: Space) -> RenderableType:
    done = finished(state)
    total = max(done + left(state), 1)
    beside = f"{done}/{total}  {clock}"
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(no_wrap=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_row(ProgressBar(total=total, completed=done, width=min(40, max(space.width - len(beside) - 3, 8))), beside)
    return head


def _line(line: str, style: str = "") -> Text:
    return Text(line, style, no_wrap=True, overflow="ellipsis")


def _unit(device: str) -> str:
    return "CPU-hours" if device == "cpu" else "GPU-hours" if device != "unknown" else "hours"


Cell = Callable[[Row, Space], str]


def _worker(row: Row, _: Space) -> str:
    """The number of a launch's worker; what becomes of a trial that nobody runs."""
    return str(row["worker"]).rpartition(".")[2] if row["activity"] == "running" else row["activity"] or "elsewhere"


def _epoch(row: Row, _: Space) -> str:
    of = f"/{row['epochs']}" if row.get("epochs") else ""
    return f"{row['epoch'] or 0:.3g}{of}"


def _loss(row: Row, space: Space) -> str:
    return sparkline(row.get("losses") or (), 12 if space.width >= 100 else 6, space.ticks)


def _measured(name: str, said: Callable[[float], str]) -> Cell:
    def cell(row: Row, _: Space) -> str:
        value = (row.get("metrics") or {}).get(name)
        return said(value) if value else ""

    return cell


def _size(some: float) -> str:
    return f"{some / 2**30:.1f}G" if some >= 2**30 else f"{some / 2**20:.0f}M"


def _parameters(row: Row, _: Space) -> str:
    return tables.shown({name.rpartition(".")[2]: value for name, value in row["params"].items()})


_COLUMNS: dict[str, tuple[Cell, int]] = {
    "trial": (lambda row, _: str(row["number"]), 0),
    "worker": (_worker, 50),
    "epoch": (_epoch, 0),
    "loss": (_loss, 50),
    "value": (lambda row, _: tables.shown(row["value"]), 0),
    "rows/s": (_measured("examples_per_second", lambda speed: f"{speed:.0f}"), 70),
    "memory": (_measured("peak_memory_bytes", _size), 80),
    "time": (lambda row, _: tables.duration(row["seconds"] or 0), 100),
    "parameters": (_parameters, 0),
}
"""What a worker's line shows, and from which width on."""
_TO_THE_RIGHT = {"trial", "epoch", "value", "rows/s", "memory", "time"}


def _workers(trials: Sequence[Row], space: Space) -> Table:
    """A line a worker, cut at the right edge."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), width=None)
    columns = {name: cell for name, (cell, least) in _COLUMNS.items() if space.width >= least}
    for name in columns:
        side = "right" if name in _TO_THE_RIGHT else "left"
        made.add_column(name, justify=side, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    room = space.width
    body = [[cell(trial, space) for cell in columns.values()] for trial in trials]
    for index, name in enumerate(list(columns)[:-1]):
        room -= max(len(name), *(len(row[index]) for row in body)) + 2
    for row in body:
        made.add_row(*row[:-1], tables.shortened(row[-1], max(room, 4)))
    return made
