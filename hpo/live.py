"""The terminal view of a running study: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType

from hpo import panel, tables
from hpo.database import LOST
from hpo.panel import Space
from hpo.report import Report
from hpo.spending import Spending, Sums

Row = dict[str, Any]
REFRESH_SECONDS = 1.0
LINE_SECONDS = 10.0
SUM_SECONDS = 10.0  # what a study has spent is added up this often, and when a trial ends


class Spent:
    """What a study has spent, time and again: a trial that is over is read and added up once."""

    def __init__(self, report: Report, study: str) -> None:
        self.report, self.study = report, study
        self._over = Sums()
        self._newest = -1
        self._open: set[int] = set()

    def __call__(self, unbegun: int) -> Spending:
        """What it comes to now, where so many trials are still to come."""
        rows = self.report.spent(self.study, beyond=self._newest, also=self._open)
        still = [row for row in rows if row["open"]]
        self._over.add(row for row in rows if not row["open"])
        self._open = {row["number"] for row in still}
        self._newest = max([self._newest, *(row["number"] for row in rows)])
        return deepcopy(self._over).add(still).spending(unbegun)


class Look:
    """How a study stands, all that the view shows of it, each time it is called."""

    def __init__(self, report: Report, study: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.report, self.study, self.clock = report, study, clock
        self._spent = Spent(report, study)
        self._sums: Spending | None = None
        self._summed = float("-inf")
        self._over = -1
        self._created: datetime | None = None

    def __call__(self) -> Row:
        state = self.report.watched(self.study)
        over, now = panel.finished(state), self.clock()
        if state["created"] != self._created:  # perhaps another study, of the same name
            self._spent, self._created, self._over = Spent(self.report, self.study), state["created"], -1
        if over != self._over or now - self._summed >= SUM_SECONDS:
            self._sums = self._spent(state["remaining"] + state["waiting"])
            self._summed, self._over = now, over
        return state | {"spending": self._sums}


class View:
    """Shows what `progress` returns (as a Look does), asked for at most once a second.

    `state` is what was shown last, None before; `since` says what the clock counts.
    """

    def __init__(
        self,
        progress: Callable[[], Row],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        since: str = "elapsed",
    ) -> None:
        self.progress, self.clock, self.since = progress, clock, since
        self.console = console or tables.console(stderr=True)
        self.state: Row | None = None
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        )
        self._drawn: tuple[int, list[int]] = (0, [])
        self._began = clock()
        self._asked = self._printed = float("-inf")
        self._first_finished: int | None = None
        self._first_running: float | None = None
        self._noted: str | None = None
        self.deaf = False  # nobody is there any more to show it to

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._heard():
            if self._live:
                self._live.stop()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """A terminal that was closed, a pipe that nobody reads, or a full disk: these cost the view, not the launch."""
        try:
            yield
        except (OSError, SystemExit):  # rich ends the program at a broken pipe
            self.deaf = True

    def __call__(self) -> None:
        """Show how things stand, if the last look is old enough."""
        if self.deaf or self.clock() - self._asked < REFRESH_SECONDS:
            return
        self._asked = self.clock()
        try:
            self.state = state = self.progress()
        except LOST:
            with self._heard():
                self._note("the database does not answer; waiting for it")
            return
        with self._heard():
            if self._live:
                self._draw(self._live, self.panel(state))
            else:
                found = panel.best(state, ago=False)  # it would be news each second
                self._note(f"{panel.counts(state)}{found and f'; {found}'}", f"{self._clock(state)}  ")

    def say(self, line: str) -> None:
        """A line that stays, above the view."""
        with self._heard():
            self.console.print(tables.printable(line), markup=False)

    def panel(self, state: Row) -> RenderableType:
        """The whole view, as wide and as high as the terminal is now."""
        width, height = self.console.size
        ticks = panel.TICKS if self.console.encoding.startswith("utf") else panel.PLAIN_TICKS
        return panel.panel(state, self._clock(state), Space(width, height, ticks))

    def _draw(self, live: Live, made: RenderableType) -> None:
        """Put a frame in the place of the last one, which a narrower terminal has broken into more lines."""
        width = self.console.width
        was, lengths = self._drawn
        if width < was:
            more = sum(max(math.ceil(length / width), 1) - 1 for length in lengths)
            erased = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
            self.console.control(Control(*(erased * more)))
        live.update(made, refresh=True)
        drawn = self.console.render_lines(made, pad=False)
        self._drawn = (width, [sum(segment.cell_length for segment in line) for line in drawn])

    def _note(self, news: str, when: str = "") -> None:
        """A plain line when something changed, but not too often."""
        if news != self._noted and self.clock() - self._printed >= LINE_SECONDS:
            self._printed, self._noted = self.clock(), news
            self.console.print(f"{when}{news}", markup=False)

    def _clock(self, state: Row) -> str:
        togo = self._to_go(state)
        remaining = f", about {tables.duration(togo)} to go" if togo else ""
        return f"{tables.duration(self.clock() - self._began)} {self.since}{remaining}"

    def _to_go(self, state: Row) -> float | None:
        """The seconds that are left: as quick as it went here, else as what is over took on average."""
        done, left = panel.finished(state), panel.left(state)
        if self._first_running is None and panel.running(state):
            self._first_running = self.clock()
        worked = self.clock() - (self._first_running or self._began)  # starting up tells nothing of what is to come
        self._first_finished = done if self._first_finished is None else self._first_finished
        here = done - self._first_finished
        if here and left:
            return worked / here * left
        sums, running = state.get("spending"), panel.running(state)
        return sums.to_finish / running if sums and sums.to_finish and running else None
