"""When a worker checkpoints its trial, and what becomes of checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Container

from objectives import checkpoint
from objectives.checkpoint import Checkpoints
from objectives.evaluation import Evaluation, Snapshot

log = logging.getLogger("hpo.worker")
SHARE = 0.03  # of a trial's time goes into checkpoints at the most


class Keeper:
    """The checkpoints of one attempt: saved when enough time has passed to be worth the cost.

    `seconds` is the least time between two; a disk that is full costs the checkpoint, not the trial.
    """

    def __init__(self, folder: str, seconds: float) -> None:
        self.checkpoints, self.seconds = Checkpoints(folder), seconds
        self._saved, self._cost = time.monotonic(), 0.0

    def resume(self) -> Snapshot | None:
        """The newest whole snapshot, if any."""
        try:
            found = self.checkpoints.newest()
        except OSError as error:
            log.warning("no checkpoint can be read, starting over: %s", error)
            return None
        if found is None:
            return None
        log.info("continues from the checkpoint of step %d", found[0])
        return found[1]

    def offer(self, evaluation: Evaluation, last: bool = False) -> None:
        """Save this evaluation's state if it is time, or if it is the `last` one before the trial is given back."""
        waited = time.monotonic() - self._saved
        if evaluation.snapshot is None or not (last or waited >= max(self.seconds, self._cost / SHARE)):
            return
        began = time.monotonic()
        try:
            self.checkpoints.save(evaluation.step, evaluation.snapshot())
        except OSError as error:
            log.warning("no checkpoint of step %d: %s", evaluation.step, error)
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def clear(self) -> None:
        """The trial is over: nothing is left of it."""
        try:
            self.checkpoints.clear()
        except OSError as error:
            log.warning("checkpoints stay in %s: %s", self.checkpoints.folder, error)


def sweep(folder: str, found: list[str], unfinished: Container[str]) -> None:
    """Remove the checkpoints of trials that are over: their worker died before it could. `found` is older than
    `unfinished`, so that a trial that began in between keeps its own."""
    for name in found:
        if name not in unfinished:
            Keeper(f"{folder}/{name}", 0).clear()


def kept(folder: str) -> list[str]:
    """The trials that have checkpoints in a study's folder."""
    try:
        return checkpoint.trials(folder)
    except OSError as error:
        log.warning("%s cannot be read: %s", folder, error)
        return []
