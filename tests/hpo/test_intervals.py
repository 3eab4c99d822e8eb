"""Statistics against scipy, against cases that are known, and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpo import intervals, scores
from hpo.scores import Said
from objectives.measures import limits

CLASSES = ("a", "b", "c")


def said(truth: list[int], predicted: list[int], loss: list[float] | None = None) -> Said:
    return Said(CLASSES, np.array(truth), np.array(predicted), np.array(loss or [0.5] * len(truth)))


def right(share: float, seed: int, rows: int = 200) -> Said:
    """Rows of which about a share is right."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(3, size=rows)
    wrong = draw.random(rows) > share
    return Said(CLASSES, truth, np.where(wrong, (truth + 1) % 3, truth), wrong.astype(float))


def accuracy(found: Said, weights: scores.Array) -> float:
    return scores.score("accuracy", found, weights)


def test_a_mean_has_students_interval() -> None:
    values = [0.81, 0.84, 0.79, 0.86, 0.80]
    found = intervals.mean(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.half == pytest.approx(high - np.mean(values))


def test_one_value_has_no_interval() -> None:
    assert intervals.mean([0.5]) == intervals.Interval(0.5, None, None)
    assert intervals.mean([0.5]).half is None


def test_paired_seeds_are_scipys() -> None:
    one, other = [0.8, 0.82, 0.79], [0.7, 0.78, 0.75]
    found = intervals.paired(one, other)
    theirs = stats.ttest_rel(one, other)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert intervals.paired([1.0], [0.0]) == intervals.Difference(1.0, None, None, 1.0)
    assert not intervals.paired([0.5, 0.5], [0.5, 0.5]).is_told_apart


@pytest.mark.parametrize(("seeds", "p"), [(2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_seeds_that_differ_by_the_same_are_counted(seeds: int, p: float) -> None:
    """0.1 and 0.3 less 0.2 differ in the last digits, and a spread of these would make anything certain."""
    found = intervals.paired([0.3, 0.8] + [0.5] * (seeds - 2), [0.1, 0.6] + [0.3] * (seeds - 2))
    assert (found.mean, found.p) == (pytest.approx(0.2), p)


def test_a_clear_difference_is_told_apart_and_none_is_not() -> None:
    good, bad = ([right(share, seed) for seed in range(5)] for share in (0.9, 0.6))
    found = intervals.bootstrapped(good, bad, accuracy, 0)
    assert found.is_told_apart
    assert found.low < found.mean < found.high
    assert found.p == pytest.approx(2 / (intervals.DRAWS + 1))
    same = intervals.bootstrapped(good, good, accuracy, 0)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert not same.is_told_apart


def test_the_interval_is_that_of_scipys_bootstrap_where_there_is_one_seed() -> None:
    one, other = right(0.9, 1, 400), right(0.8, 1, 400)
    found = intervals.bootstrapped([one], [other], accuracy, 0)
    rows = ((one.truth == one.predicted).astype(float) - (other.truth == other.predicted),)
    theirs = stats.bootstrap(rows, np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(1))
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_seeds_are_drawn_too() -> None:
    """Rows that say the same each time: all that is uncertain is which seeds train."""
    truth = [0] * 20
    one = [said(truth, [0 if row < count else 1 for row in range(20)], [count / 20] * 20) for count in (4, 8, 12, 16)]
    other = [said(truth, truth, [0.0] * 20) for _ in one]
    found = intervals.bootstrapped(one, other, lambda some, weights: scores.score("val_loss", some, weights), 0)
    assert found.mean == pytest.approx(0.5)
    assert found.high - found.low > 0.3


def alike(draw: np.random.Generator, seeds: int) -> list[Said]:
    """What a configuration says of rows with each of so many seeds, where its loss depends on the seed alone."""
    return [said([0] * 20, [0] * 20, [loss] * 20) for loss in draw.normal(0.5, 0.1, seeds)]


def val_loss(found: Said, weights: scores.Array) -> float:
    return scores.score("val_loss", found, weights)


@pytest.mark.parametrize("seeds", [2, 5])
def test_of_rows_that_say_the_same_the_interval_is_students(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    one, other = alike(draw, seeds), alike(draw, seeds)
    found = intervals.bootstrapped(one, other, val_loss, 0)
    theirs = intervals.paired([each.loss[0] for each in one], [each.loss[0] for each in other])
    assert found.mean == pytest.approx(theirs.mean)
    assert found.high - found.low == pytest.approx(theirs.high - theirs.low, rel=0.15)
    assert found.p == pytest.approx(theirs.p, abs=0.03)


def test_configurations_that_are_alike_are_seldom_told_apart_by_two_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 200)
    draw = np.random.default_rng(0)
    pairs = [(alike(draw, 2), alike(draw, 2)) for _ in range(60)]
    assert sum(intervals.bootstrapped(*pair, val_loss, 0).is_told_apart for pair in pairs) <= 6


def test_an_interval_stays_within_what_a_metric_can_be() -> None:
    assert intervals.mean([0.9, 1.0]).within(*limits("accuracy")).high == 1
    assert intervals.mean([0.1, 0.9]).within(*limits("val_loss")).low == 0
    assert intervals.mean([0.9, 1.0]).within(*limits("r2")).low == intervals.mean([0.9, 1.0]).low
    assert intervals.mean([0.5]).within(*limits("f1[spam]")) == intervals.mean([0.5])


def test_the_same_seed_gives_the_same_answer() -> None:
    one, other = [right(0.8, 1)], [right(0.7, 1)]
    answers = [intervals.bootstrapped(one, other, accuracy, seed) for seed in (3, 3, 4)]
    assert answers[0] == answers[1] != answers[2]


def test_the_interval_holds_the_truth_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 200)
    held = 0
    for trial in range(60):
        one, other = ([right(share, 1000 * trial + index, 100)] for index, share in enumerate((0.8, 0.7)))
        rows = Said(CLASSES, one[0].truth, other[0].predicted, other[0].loss)  # unpaired on purpose: any truth will do
        found = intervals.bootstrapped(one, [rows], lambda some, w: scores.score("val_loss", some, w), trial)
        held += found.low <= -0.1 <= found.high
    assert held >= 50


def test_holm_is_as_in_the_paper() -> None:
    assert intervals.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert intervals.holm([0.5, 0.9]) == [1.0, 1.0]
    assert intervals.holm([]) == []


METRICS = ("accuracy", *(f"{m}_{a}" for m in ("precision", "recall", "f1") for a in ("macro", "weighted")), "f1[b]")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [([0, 1, 2, 2, 1], [0, 1, 1, 2, 0]), ([0, 0, 1], [0, 1, 1]), ([0, 0], [1, 1])])
def test_scores_are_those_of_the_trial(metric: str, rows: tuple[list[int], list[int]]) -> None:
    torch = pytest.importorskip("torch")
    from objectives import metrics

    truth, predicted = rows
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), 3).double()
    theirs, _ = metrics.scores(logits, torch.tensor(truth), CLASSES)
    assert scores.is_known(metric)
    assert scores.score(metric, said(truth, predicted)) == pytest.approx(theirs[metric])


def test_a_row_counts_as_often_as_it_is_drawn() -> None:
    found = said([0, 1, 2], [0, 0, 2], [0.1, 0.2, 0.6])
    twice = said([0, 0, 2], [0, 0, 2], [0.1, 0.1, 0.6])
    weights = np.array([2.0, 0.0, 1.0])
    for metric in (*METRICS, "val_loss"):
        assert scores.score(metric, found, weights) == pytest.approx(scores.score(metric, twice))
    assert not scores.is_known("auc")
