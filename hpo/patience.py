"""Waiting for a database that went away, with growing pauses that a stop can cut short."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from optuna.exceptions import StorageInternalError

from hpo.database import LOST, explain

Answer = TypeVar("Answer")
log = logging.getLogger("hpo.worker")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds


@dataclass(frozen=True)
class Patience:
    """How long to try again: `seconds` at most, and not at all once `stop` is set."""

    seconds: float
    stop: threading.Event

    def __call__(self, verb: Callable[[], Answer]) -> Answer:
        """What `verb` answers, asked again while the database is lost; raises what it raised last.

        `verb` must bear being repeated after a transaction whose commit nobody acknowledged.
        """
        until, pause = time.monotonic() + self.seconds, FIRST_PAUSE
        while True:
            try:
                return verb()
            except (*LOST, StorageInternalError) as error:
                if self.stop.is_set() or time.monotonic() + pause > until:
                    raise
                log.warning("the database does not answer (%s); trying again in %.1f s", explain(error), pause)
            self.stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
