"""How sure a comparison is: intervals of means, differences of two configurations, many at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from hpo.scores import Said

Array = np.ndarray[Any, Any]
Score = Callable[[Said, Array], float]
"""A metric of what a model said of the rows [rows], each counted as often as it was drawn [rows]."""

LEVEL = 0.95
DRAWS = 2000
_ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_DIGITS = 12  # of a difference, so that equal means are equal in whatever order they were summed


@dataclass(frozen=True)
class Interval:
    """A mean with the interval around it; without one where a single value was seen."""

    mean: float
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        """How far the interval reaches from the mean; None where there is none."""
        return None if self.high is None else self.high - self.mean

    def within(self, least: float, most: float) -> Interval:
        """The same without what no metric of these limits can be."""
        if self.low is None or self.high is None:
            return self
        return Interval(self.mean, max(self.low, least), min(self.high, most))


@dataclass(frozen=True)
class Difference:
    """How much higher one metric is than another, from `low` to `high` at 95 %; `p` that it is nothing but chance.

    Without an interval, and with p = 1, where a single pair was seen.
    """

    mean: float
    low: float | None
    high: float | None
    p: float

    @property
    def is_told_apart(self) -> bool:
        """Whether 0 is outside of the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def mean(values: Sequence[float]) -> Interval:
    """The mean with Student's t interval at 95 %, which takes the values for draws from one normal distribution
    (Student, The probable error of a mean, Biometrika 1908)."""
    found, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(found, None, None)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Interval(found, found - half, found + half)


def paired(one: Sequence[float], other: Sequence[float]) -> Difference:
    """The mean of `one` - `other` over seeds that both had, with Student's t interval and p value; two seeds or more.

    For metrics that do not follow from single rows: the test rows are taken as they are. Where all seeds differ by the
    same, which leaves Student's t without a spread, p is that of the sign test (Dixon and Mood, The statistical sign
    test, JASA 1946).
    """
    differences = np.round(np.asarray(one) - np.asarray(other), _DIGITS)
    found = mean(list(differences))
    if found.low is None:
        return Difference(found.mean, None, None, 1.0)
    if np.ptp(differences) == 0:
        same = float(differences[0])
        return Difference(same, same, same, 2 * 0.5 ** len(differences) if same else 1.0)
    return Difference(found.mean, found.low, found.high, float(stats.ttest_1samp(differences, 0).pvalue))


def bootstrapped(one: Sequence[Said], other: Sequence[Said], score: Score, seed: int, tests: int = 1) -> Difference:
    """The mean over seeds of score(one) - score(other), and its percentile interval by a paired bootstrap.

    `one` and `other` are what two configurations said of the same rows, a `Said` a seed, the seeds in one order; see
    `drawn`. It is one of so many `tests`.
    """
    return drawn([one, other], score, seed, draws=draws_for(tests)).difference(0, 1)


@dataclass(frozen=True)
class Draws:
    """A metric of several sides: of all rows and seeds `whole` [sides], and of each bootstrap draw [draws, sides]."""

    whole: Array
    found: Array

    def interval(self, side: int) -> Interval:
        """The percentile interval of one side."""
        low, high = np.quantile(self.found[:, side], _ENDS)
        return Interval(float(self.whole[side]), float(low), float(high))

    def difference(self, one: int, other: int) -> Difference:
        """The first side's metric minus the other's, with its percentile interval.

        `p` is twice the smaller share of draws on one side of 0, one draw added to each (Davison and Hinkley, Bootstrap
        Methods, 1997).
        """
        found = self.found[:, one] - self.found[:, other]
        low, high = np.quantile(found, _ENDS)
        signs = np.sign(np.round(found, _DIGITS))
        least = min((signs <= 0).sum(), (signs >= 0).sum())
        p = float(min(1.0, 2 * (least + 1) / (len(found) + 1)))
        return Difference(float(self.whole[one] - self.whole[other]), float(low), float(high), p)


def draws_for(tests: int) -> int:
    """How many draws tell differences apart when so many are tested: the least p that Holm leaves is half the level."""
    return max(DRAWS, math.ceil(4 * tests / (1 - LEVEL)))


def drawn(
    sides: Sequence[Sequence[Said]],
    score: Score,
    seed: int,
    seeds: Sequence[Hashable] | None = None,
    draws: int | None = None,
) -> Draws:
    """The mean over seeds of the score of each side, in draws of rows and seeds.

    Each side is what one configuration said of the same rows, a `Said` a seed. What is uncertain is which rows are
    tested and which seeds train. Rows are drawn with replacement, the same for all sides: pairing by row is as of Koehn
    (Statistical significance tests for machine translation evaluation, EMNLP 2004). Seeds are drawn independently of
    them, the same for sides whose entries of `seeds` are equal, by default for all; others draw theirs by themselves.
    Of one seed a side's uncertainty is over rows alone. The same `seed` gives the same answer. There are `draws` of
    them, by default DRAWS.
    """
    draw, rows = np.random.default_rng(seed), len(sides[0][0].truth)
    kinds = list(seeds) if seeds is not None else [None] * len(sides)
    counts = {kind: len(side) for kind, side in zip(kinds, sides, strict=True)}
    found = np.empty((draws or DRAWS, len(sides)))
    for index in range(len(found)):
        weights = np.bincount(draw.integers(rows, size=rows), minlength=rows).astype(float)
        shares = {kind: _shares(draw, count) for kind, count in counts.items()}
        found[index] = [_mean(side, score, weights, shares[kind]) for kind, side in zip(kinds, sides, strict=True)]
    whole = [_mean(side, score, np.ones(rows), np.full(len(side), 1 / len(side))) for side in sides]
    return Draws(np.array(whole), found)


def _shares(draw: np.random.Generator, count: int) -> Array:
    """The part that each seed has in a mean [count], their sum being 1; some are negative.

    Drawn so that the mean over seeds has Student's t distribution around its own value: with the same rows, the
    interval of a difference is that of `paired`. To draw a handful of seeds with replacement understates what they
    vary: where seeds decide, 30 % of pairs that are alike were told apart with 2 seeds and 13 % with 5.
    """
    if count == 1:
        return np.ones(1)
    away = draw.standard_normal(count)
    shares: Array = (1 + (away - away.mean()) * math.sqrt(count / draw.chisquare(count - 1))) / count
    return shares


def _mean(side: Sequence[Said], score: Score, weights: Array, shares: Array) -> float:
    """Over seeds of which each has its part in `shares` [seeds]."""
    return float(sum(share * score(said, weights) for share, said in zip(shares.tolist(), side, strict=True)))


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for there being many of them, in their order, so that the chance of one false finding among
    all stays below the level (Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 1979)."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - rank)))
        adjusted[index] = highest
    return adjusted
