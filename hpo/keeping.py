"""When a worker checkpoints its trial, and what becomes of checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from hpo.delivery import Dispatch
from objectives import checkpoint
from objectives.checkpoint import Checkpoints
from objectives.evaluation import Evaluation, Result, Snapshot

log = logging.getLogger("hpo.worker")
SHARE = 0.03  # of a trial's time goes into checkpoints at the most
UNDELIVERED = "undelivered"  # among a snapshot's values, ours


class Keeper:
    """The checkpoints of one attempt: saved when enough time has passed to be worth the cost.

    `seconds` is the least time between two; a disk or a memory that is full costs the checkpoint, not the
    trial.
    """

    def __init__(self, folder: str, seconds: float, attempt: int = 1) -> None:
        self.checkpoints, self.seconds = Checkpoints(folder, attempt), seconds
        self._saved, self._cost = time.monotonic(), 0.0

    def resume(self) -> tuple[Snapshot | None, list[Dispatch]]:
        """The newest whole snapshot, if any, and the evaluations up to it that its worker could not deliver."""
        try:
            found = self.checkpoints.newest()
        except OSError as error:
            log.warning("no checkpoint can be read, starting over: %s", error)
            return None, []
        if found is None:
            return None, []
        log.info("continues from the checkpoint of step %d", found[0])
        values = dict(found[1].values)
        return replace(found[1], values=values), [_dispatch(told) for told in values.pop(UNDELIVERED, [])]

    def offer(self, evaluation: Evaluation, undelivered: Sequence[Dispatch] = (), last: bool = False) -> None:
        """Save this evaluation's state if it is time, or if it is the `last` one before the trial is given back.

        With it goes what is `undelivered`: an adopter would not evaluate it again.
        """
        waited = time.monotonic() - self._saved
        if evaluation.snapshot is None or not (last or waited >= max(self.seconds, self._cost / SHARE)):
            return
        began = time.monotonic()
        try:
            made = evaluation.snapshot()
            told = [asdict(replace(one, evaluation=replace(one.evaluation, snapshot=None))) for one in undelivered]
            self.checkpoints.save(evaluation.step, replace(made, values={**made.values, UNDELIVERED: told}))
        except (OSError, MemoryError) as error:
            log.warning("no checkpoint of step %d: %s", evaluation.step, str(error) or "out of memory")
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def clear(self) -> None:
        """The trial is over: nothing is left of it."""
        try:
            self.checkpoints.clear()
        except OSError as error:
            log.warning("checkpoints stay in %s: %s", self.checkpoints.folder, error)


def _dispatch(told: Mapping[str, Any]) -> Dispatch:
    result = told["evaluation"]["result"]
    evaluation = Evaluation(**{**told["evaluation"], "result": result and Result(**result)})
    return Dispatch(evaluation, told["attempt"])


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
