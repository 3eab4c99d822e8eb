"""When a worker checkpoints its trial, and what becomes of checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hpo.delivery import Dispatch
from objectives import checkpoint
from objectives.checkpoint import Checkpoints
from objectives.errors import without_login
from objectives.evaluation import Evaluation, Predictions, Result, Snapshot

log = logging.getLogger("hpo.worker")
SHARE = 0.03  # of a trial's time goes into checkpoints at the most
UNDELIVERED = "undelivered"  # among a snapshot's values, ours
LARGE = 10**6  # bytes from which a checkpoint tells how fast they are written; what a smaller one takes, any takes


@dataclass
class Pace:
    """What checkpoints take on this machine: `least` seconds, and a second for so many bytes.

    Cautious to begin with, as a busy machine with a slow disk was measured; each one that is written says it better.
    """

    least: float = 0.01
    bytes_per_second: float = 5e7

    def seconds(self, size: int) -> float:
        """How long a checkpoint of so many bytes will take."""
        return self.least + size / self.bytes_per_second

    def note(self, size: int, seconds: float) -> None:
        """One of so many bytes took so long."""
        if size < LARGE:
            self.least = seconds
        else:
            self.bytes_per_second = size / seconds


class Keeper:
    """The checkpoints of one attempt: saved when enough time has passed to be worth the cost.

    `seconds` is the least time between two, and 0 saves at every evaluation, whatever it costs. `pace` is shared with
    other attempts of this process; `spent` is how many seconds they took. A disk or a memory that is full costs the
    checkpoint, not the trial.
    """

    def __init__(self, folder: str, seconds: float, attempt: int = 1, pace: Pace | None = None) -> None:
        self.checkpoints, self.seconds, self.pace = Checkpoints(folder, attempt), seconds, pace or Pace()
        self._began = self._saved = time.monotonic()
        self.spent = 0.0

    @property
    def own(self) -> Path | None:
        """A folder for what a trial keeps itself, gone with its checkpoints; None where these are at a URL."""
        folder = self.checkpoints.folder
        return None if "://" in folder else Path(folder) / "own"

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
        began = time.monotonic()
        if evaluation.snapshot is None or not (last or self._is_worth(evaluation.snapshot_bytes, began)):
            return
        try:
            made = evaluation.snapshot()
            told = [asdict(replace(one, evaluation=_plain(one.evaluation))) for one in undelivered]
            self.checkpoints.save(evaluation.step, replace(made, values={**made.values, UNDELIVERED: told}))
        except (OSError, MemoryError) as error:
            log.warning("no checkpoint of step %d: %s", evaluation.step, str(error) or "out of memory")
        else:
            self.pace.note(evaluation.snapshot_bytes, time.monotonic() - began)
        self._saved = time.monotonic()
        self.spent += self._saved - began

    def _is_worth(self, size: int, now: float) -> bool:
        """Whether all that was written so far, and so many bytes more, cost little beside the time of the trial."""
        if not self.seconds:
            return True
        trained = now - self._began - self.spent
        return now - self._saved >= self.seconds and self.spent + self.pace.seconds(size) <= SHARE * trained

    def clear(self) -> None:
        """The trial is over: nothing is left of it."""
        try:
            self.checkpoints.clear()
        except OSError as error:
            where = self.checkpoints.folder
            log.warning("checkpoints stay in %s: %s", without_login(where), without_login(str(error)))


def _plain(evaluation: Evaluation) -> Evaluation:
    """What of an evaluation can be written down."""
    return replace(evaluation, snapshot=None, model=None)


def _dispatch(told: Mapping[str, Any]) -> Dispatch:
    told_of = told["evaluation"]
    result, predictions = told_of["result"], told_of.get("predictions")
    parts = {"result": result and Result(**result), "predictions": predictions and Predictions(**predictions)}
    return Dispatch(Evaluation(**{**told_of, **parts}), told["attempt"])


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
        log.warning("%s cannot be read: %s", without_login(folder), without_login(str(error)))
        return []
