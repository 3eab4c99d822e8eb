"""The terminal view of a running study: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo import tables
from hpo.database import LOST

Row = dict[str, Any]
REFRESH_SECONDS = 1.0
LINE_SECONDS = 10.0


class View:
    """Shows what `progress` returns (as `hpo.report.Report.progress`), asked for at most once a second."""

    def __init__(
        self,
        progress: Callable[[], Row],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress, self.clock = progress, clock
        self.console = console or tables.console(stderr=True)
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        )
        self._began = clock()
        self._asked = self._printed = float("-inf")
        self._first_finished: int | None = None
        self._first_running: float | None = None
        self._noted: str | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self) -> None:
        """Show how things stand, if the last look is old enough."""
        if self.clock() - self._asked < REFRESH_SECONDS:
            return
        self._asked = self.clock()
        try:
            state = self.progress()
        except LOST:
            self._note("the database does not answer; waiting for it")
            return
        if self._live:
            self._live.update(self.panel(state), refresh=True)
        else:
            self._note(f"{counts(state)}{_best(state)}", f"{self._clock(state)}  ")

    def say(self, line: str) -> None:
        """A line that stays, above the view."""
        self.console.print(line, markup=False)

    def panel(self, state: Row) -> RenderableType:
        """The whole view."""
        done = finished(state)
        total = max(done + state["running"] + state["waiting"] + state["remaining"], 1)
        bar = ProgressBar(total=total, completed=done, width=40)
        workers = tables.table([_worker(row) for row in state["trials_running"]], _COLUMNS)
        head = Table.grid(padding=(0, 2))
        head.add_row(bar, f"{done}/{total}", self._clock(state))
        return Group(
            head,
            Text(counts(state)),
            Text(""),
            workers,
            Text(""),
            Text(_best(state).removeprefix("; ") or "no trial is complete yet", style="green"),
        )

    def _note(self, news: str, when: str = "") -> None:
        """A plain line when something changed, but not too often."""
        if news != self._noted and self.clock() - self._printed >= LINE_SECONDS:
            self._printed, self._noted = self.clock(), news
            self.console.print(f"{when}{news}", markup=False)

    def _clock(self, state: Row) -> str:
        elapsed = self.clock() - self._began
        done = finished(state)
        if self._first_running is None and _running(state):
            self._first_running = self.clock()
        worked = self.clock() - (self._first_running or self._began)  # starting up tells nothing of what is to come
        self._first_finished = done if self._first_finished is None else self._first_finished
        here = done - self._first_finished
        left = state["running"] + state["waiting"] + state["remaining"]
        remaining = f", about {tables.duration(worked / here * left)} to go" if here and left else ""
        return f"{tables.duration(elapsed)} elapsed{remaining}"


def finished(state: Row) -> int:
    """How many trials are over, however they ended."""
    return int(state["complete"] + state["pruned"] + state["failed"])


def counts(state: Row) -> str:
    """The counts of a study in words."""
    queued = state["waiting"] + state["remaining"]
    held = f"{state['state']}: " if state.get("state") in ("paused", "stopped") else ""
    return (
        f"{held}{state['complete']} done, {state['pruned']} pruned, {_running(state)} running, "
        f"{state['failed']} failed, {queued} queued"
    )


def _running(state: Row) -> int:
    return sum(1 for trial in state["trials_running"] if trial["activity"] == "running")


_COLUMNS = ("trial", "worker", "epoch", "value", "seconds", "parameters")


def _worker(trial: Row) -> tuple[Any, ...]:
    params = {name.rpartition(".")[2]: value for name, value in trial["params"].items()}
    what = trial["activity"] if trial["activity"] != "running" else trial["worker"].rpartition(".")[2]
    return trial["number"], what, trial["epoch"], trial["value"], round(trial["seconds"] or 0), params


def _best(state: Row) -> str:
    best = state["best"]
    return f"; best {state['metric']} {tables.shown(best['value'])} (trial {best['number']})" if best else ""
