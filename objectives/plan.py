"""When a training steps and when it evaluates: whole numbers, known before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from objectives.batches import chunks
from objectives.data import order
from objectives.settings import Training


@dataclass(frozen=True)
class Plan:
    """The optimizer steps of a training over `rows` rows, counted from 0 through all epochs.

    A step takes `rows_per_step` rows (the last of an epoch what is left) in batches of `batch_size`. Which rows these
    are depends on the seed and the sizes alone.
    """

    rows: int
    batch_size: int
    rows_per_step: int
    epochs: int
    evaluations_per_epoch: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return ceil(self.rows / self.rows_per_step)

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    @property
    def evaluations(self) -> int:
        """Of the whole training; one that takes no step is evaluated once."""
        return self.epochs * self.evaluations_per_epoch or 1

    def batches(self, step: int) -> list[Sequence[int]]:
        """The rows of a step, batch by batch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.rows_per_step
        return list(chunks(_order(self.rows, self.seed, epoch)[start : start + self.rows_per_step], self.batch_size))

    def evaluates_after(self, steps: int) -> bool:
        """Whether an evaluation is due once this many steps are taken; one always is at the end of an epoch."""
        done = (steps - 1) % self.steps_per_epoch + 1
        return self._due(done) > self._due(done - 1)

    def epochs_after(self, steps: int) -> float:
        """The passes over the training rows that this many steps make."""
        epochs, steps_more = divmod(steps, self.steps_per_epoch)
        return epochs + steps_more * self.rows_per_step / self.rows

    def _due(self, done: int) -> int:
        return done * self.evaluations_per_epoch // self.steps_per_epoch


def plan(training: Training, rows: int) -> Plan:
    """The plan for these settings; an epoch has no more evaluations than it has steps."""
    rows_per_step = training.batch_size * training.gradient_accumulation_steps
    return Plan(
        rows=rows,
        batch_size=training.batch_size,
        rows_per_step=rows_per_step,
        epochs=training.epochs,
        evaluations_per_epoch=min(training.evaluations_per_epoch, ceil(rows / rows_per_step)),
        seed=training.seed or 0,
    )


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> list[int]:
    return order(rows, seed, epoch)
