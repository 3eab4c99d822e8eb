"""Waiting for a database that went away, with growing pauses that a stop can cut short."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from optuna.exceptions import StorageInternalError

from hpo.database import LOST, explain, is_full

Answer = TypeVar("Answer")
log = logging.getLogger("hpo.worker")

AWAY = (*LOST, StorageInternalError)  # what a database that went away makes us see, directly and through Optuna
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds


def pauses() -> Iterator[float]:
    """The seconds to wait before each new try."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(frozen=True)
class Patience:
    """How long to try again: `seconds` at most, and not at all once `stop` is set.

    `let_go` gives back the connections that are not in use: it is called where the server has none left, since others
    who wait as we do may need just those.
    """

    seconds: float
    stop: threading.Event
    let_go: Callable[[], None] = lambda: None

    def __call__(self, verb: Callable[[], Answer], hopeful: Callable[[BaseException], bool] = lambda _: True) -> Answer:
        """What `verb` answers, asked again while the database is lost and the error a `hopeful` one; raises the last.

        `verb` must bear being repeated after a transaction whose commit nobody acknowledged.
        """
        until = time.monotonic() + self.seconds
        for pause in pauses():
            try:
                return verb()
            except AWAY as error:
                if self.stop.is_set() or not hopeful(error) or time.monotonic() + pause > until:
                    raise
                self.make_way(error)
                log.warning("the database does not answer (%s); trying again in %.1f s", explain(error), pause)
            self.stop.wait(pause)
        raise AssertionError("pauses never end")

    def make_way(self, error: BaseException) -> None:
        """Let go of what we hold, if that may be what is missing."""
        if is_full(error):
            self.let_go()
