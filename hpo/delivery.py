"""Evaluations on their way to the database: delivered in order, while training goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hpo.database import explain
from hpo.errors import DatabaseError
from hpo.patience import AWAY, Patience, pauses
from objectives.evaluation import Evaluation

log = logging.getLogger("hpo.worker")
TICK = 0.1  # seconds between two looks at the stop, which no condition tells of


@dataclass(frozen=True)
class Dispatch:
    """An evaluation with the attempt that made it."""

    evaluation: Evaluation
    attempt: int


class Delivery:
    """The evaluations of one attempt, delivered by a thread of their own within a `with` block.

    `deliver` records one; it is called again while the database is away, so it must bear being repeated. Whatever else
    it raises is the verdict: nothing is delivered after it, and who trains hears of it. So what a trial leaves behind
    is what it would have left if it had waited for each delivery; only the training beyond the verdict is in vain.
    """

    def __init__(self, deliver: Callable[[Dispatch], None], patience: Patience) -> None:
        self._deliver, self._patience = deliver, patience
        self._waiting: deque[Dispatch] = deque()
        self._changed = threading.Condition()
        self._verdict: BaseException | None = None
        self._away: tuple[float, Exception] | None = None  # since when, and what was said last
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def __enter__(self) -> Delivery:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()  # no statement of this trial is under way once the block is left

    def put(self, dispatch: Dispatch) -> None:
        """Hand over an evaluation and return at once; raises the verdict on an earlier one, if it is known."""
        self.heed()
        with self._changed:
            self._waiting.append(dispatch)
            self._changed.notify_all()

    def heed(self) -> None:
        """Raise the verdict as soon as there is one."""
        if self._verdict is not None:
            raise self._verdict

    def undelivered(self) -> list[Dispatch]:
        """What the database has not acknowledged."""
        with self._changed:
            return list(self._waiting)

    def given_up(self) -> bool:
        """Whether the database has been away for longer than a worker waits. It is tried on, for as long as training
        takes to come to where it can be left."""
        away = self._away
        return away is not None and (
            self._patience.stop.is_set() or time.monotonic() - away[0] > self._patience.seconds
        )

    def flush(self) -> None:
        """Wait until all is delivered; raises the verdict, or DatabaseError where it is given up."""
        with self._changed:
            while self._waiting and self._verdict is None and not self.given_up():
                self._changed.wait(TICK)
            away = self._away
        self.heed()
        if self._waiting:
            assert away is not None  # noqa: S101 - else the loop goes on
            raise DatabaseError(self._said(away[1])) from away[1]

    def _said(self, error: Exception) -> str:
        waited = "" if self._patience.stop.is_set() else f" for longer than {self._patience.seconds:g} s (HPO_PATIENCE)"
        return (
            f"the database has been away{waited}: {explain(error)}; the trial is left with its checkpoint, "
            "start a worker again when the database is back"
        )

    def _run(self) -> None:
        pause = pauses()
        while (dispatch := self._next()) is not None:
            try:
                self._deliver(dispatch)
            except AWAY as error:
                self._wait(error, next(pause))
            except BaseException as verdict:
                self._note(verdict)
                return
            else:
                pause = pauses()
                self._note()

    def _next(self) -> Dispatch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            return None if self._closed else self._waiting[0]

    def _wait(self, error: Exception, seconds: float) -> None:
        self._patience.make_way(error)
        log.warning("the database does not answer (%s); training goes on, next try in %.1f s", explain(error), seconds)
        with self._changed:
            self._away = (self._away[0] if self._away else time.monotonic(), error)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed, seconds)

    def _note(self, verdict: BaseException | None = None) -> None:
        """The first one that waits is delivered; with a verdict the others never will be."""
        with self._changed:
            if self._away:
                log.info("the database is back after %.0f s", time.monotonic() - self._away[0])
            self._away, self._verdict = None, verdict
            self._waiting.popleft()
            self._changed.notify_all()
