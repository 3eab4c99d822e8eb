"""A worker of all studies: which one it takes a trial from, and which ones it lets alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hpo.claims import Nothing
from hpo.errors import DatabaseError, HpoError

log = logging.getLogger("hpo.worker")

RETRY_SECONDS = 60.0
"""After so long a study that this machine could not serve is tried again: its files may have come."""

Serve = Callable[[], Nothing | None]
"""Claims a trial of one study and runs it; says why there was none."""


class Pool:
    """Takes one trial at a time, each from the first study that has one.

    `studies` are the open ones, study_id and name, in their order; `enter` makes this machine ready for one and raises
    HpoError where it is not.
    """

    def __init__(
        self,
        studies: Callable[[], list[tuple[int, str]]],
        enter: Callable[[int], Serve],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.studies, self.enter, self.clock = studies, enter, clock
        self._entered: dict[int, Serve] = {}
        self._refused: dict[int, tuple[str, float]] = {}

    def __call__(self) -> Nothing | None:
        """Run one trial; else DONE where no study is left for this worker, WAIT where trials may come back.

        A study that people paused or stopped is not waited for.
        """
        found = Nothing.DONE
        for study_id, name in self.studies():
            answer = self._serve(study_id, name)
            if answer is None:
                return None
            found = Nothing.WAIT if answer is Nothing.WAIT else found
        return found

    def _serve(self, study_id: int, name: str) -> Nothing | None:
        if self.clock() < self._refused.get(study_id, ("", 0.0))[1]:
            return Nothing.DONE
        try:
            if study_id not in self._entered:
                self._entered[study_id] = self.enter(study_id)
            return self._entered[study_id]()
        except DatabaseError:
            raise
        except HpoError as error:
            self._refuse(study_id, name, str(error))
            return Nothing.DONE

    def _refuse(self, study_id: int, name: str, why: str) -> None:
        """Let a study alone for a while; the same reason is told once."""
        told, _ = self._refused.get(study_id, ("", 0.0))
        if why != told:
            log.warning("study %s is skipped: %s", name, why)
        self._refused[study_id] = (why, self.clock() + RETRY_SECONDS)
        self._entered.pop(study_id, None)
