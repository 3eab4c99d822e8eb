"""When a training steps and when it evaluates: whole numbers, known before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil

from objectives.batches import chunks
from objectives.data import order
from objectives.settings import Training
from objectives.splits import shuffled

ALIKE = 50
"""Steps at the most whose rows are put in order of length together, as in transformers' LengthGroupedSampler; never
more than a quarter of an epoch, whose steps would have the same rows each time."""


@dataclass(frozen=True)
class Plan:
    """The optimizer steps of a training over `rows` rows, counted from 0 through all epochs.

    A step takes `rows_per_step` rows (the last of an epoch what is left) in batches of `batch_size`. Which rows these
    are depends on the seed and the sizes alone, and with `group_by_length` on the rows' lengths: `order` tells the rows
    of an epoch.
    """

    rows: int
    batch_size: int
    rows_per_step: int
    epochs: int
    evaluations_per_epoch: int
    seed: int
    order: Callable[[int], Sequence[int]]

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
        return list(chunks(self.order(epoch)[start : start + self.rows_per_step], self.batch_size))

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


def plan(training: Training, lengths: Sequence[int]) -> Plan:
    """The plan for rows of these lengths, in tokens; an epoch has no more evaluations than it has steps."""
    rows_per_step = training.batch_size * training.gradient_accumulation_steps
    rows, seed = len(lengths), training.seed or 0
    alike = partial(_alike, lengths, rows_per_step, seed)
    return Plan(
        rows=rows,
        batch_size=training.batch_size,
        rows_per_step=rows_per_step,
        epochs=training.epochs,
        evaluations_per_epoch=min(training.evaluations_per_epoch, ceil(rows / rows_per_step)),
        seed=seed,
        order=lru_cache(maxsize=2)(alike) if training.group_by_length else partial(_order, rows, seed),
    )


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> list[int]:
    return order(rows, seed, epoch)


def _alike(lengths: Sequence[int], rows_per_step: int, seed: int, epoch: int) -> list[int]:
    """The rows of an epoch so that those of a step have about one length, the steps themselves in any order.

    What is left over for a short step comes last.
    """
    steps = len(lengths) // rows_per_step
    some = chunks(_order(len(lengths), seed, epoch), max(min(steps // 4, ALIKE), 1) * rows_per_step)
    found = [row for rows in some for row in sorted(rows, key=lambda row: -lengths[row])]
    whole, rest = list(chunks(found[: steps * rows_per_step], rows_per_step)), found[steps * rows_per_step :]
    return [*(row for step in shuffled(steps, "steps", seed, epoch) for row in whole[step]), *rest]
