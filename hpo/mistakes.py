"""What a classifier gets wrong: confident mistakes, classes taken for others, slices of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hpo import scores
from hpo.scores import Said

FEW = 30
"""Rows of a slice below which its metrics say little."""


@dataclass(frozen=True)
class Mistake:
    """A row, by its place in its split from 0, with the class it has and the one that was predicted with this
    probability."""

    row: int
    truth: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Confusion:
    """Rows of one class that were taken for another; `share` is of all rows of the true class."""

    truth: str
    predicted: str
    rows: int
    share: float


@dataclass(frozen=True)
class Slice:
    """Metrics over the rows that have one value in a column; `low` and `high` bound the accuracy at 95 %."""

    value: str
    rows: int
    accuracy: float
    f1_macro: float
    low: float
    high: float

    @property
    def note(self) -> str | None:
        """What to bear in mind where the rows are few."""
        return f"few rows: accuracy is {self.low:.2f} to {self.high:.2f} (95 %)" if self.rows < FEW else None


def confident(said: Said, probability: Sequence[float], top: int) -> list[Mistake]:
    """The `top` mistakes with the highest probability [rows] of the predicted class."""
    wrong = np.flatnonzero(said.truth != said.predicted).tolist()
    order = sorted(wrong, key=lambda row: (-probability[row], row))[:top]
    return [
        Mistake(row, said.classes[said.truth[row]], said.classes[said.predicted[row]], probability[row])
        for row in order
    ]


def confused(said: Said, top: int) -> list[Confusion]:
    """The `top` pairs of a true and a predicted class that hold the most mistakes, each direction by itself."""
    pairs = Counter(zip(said.truth.tolist(), said.predicted.tolist(), strict=True))
    of_class = Counter(said.truth.tolist())
    wrong = sorted((-count, pair) for pair, count in pairs.items() if pair[0] != pair[1])[:top]
    return [
        Confusion(said.classes[truth], said.classes[predicted], -count, -count / of_class[truth])
        for count, (truth, predicted) in wrong
    ]


def slices(said: Said, values: Sequence[str]) -> list[Slice]:
    """Metrics for each of the `values` [rows], the largest slice first; f1 is over the classes that occur in it."""
    return sorted(_slices(said, np.asarray(values, dtype=object)), key=lambda one: (-one.rows, one.value))


def _slices(said: Said, values: scores.Array) -> Iterator[Slice]:
    right = said.truth == said.predicted
    for value in dict.fromkeys(values.tolist()):
        inside = values == value
        rows, hits = int(inside.sum()), int(right[inside].sum())
        # Wilson: Probable inference, the law of succession, and statistical inference, JASA 1927
        bounds = stats.binomtest(hits, rows).proportion_ci(method="wilson")
        f1 = scores.score("f1_macro", said, inside.astype(float))
        yield Slice(value, rows, hits / rows, f1, float(bounds.low), float(bounds.high))
