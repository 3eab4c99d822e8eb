"""What the retraining of a study's best has shown: means, intervals, a winner, what is certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo import intervals, scores
from hpo.errors import StudyError
from hpo.intervals import Difference, Interval
from hpo.promotion import SUFFIX, Candidate, Promotion
from hpo.report import Report
from hpo.scores import Said
from hpo.spec import StudySpec
from objectives.measures import direction

Row = dict[str, Any]
ALPHA = 1 - intervals.LEVEL


@dataclass(frozen=True)
class Retraining:
    """One trial of the companion: its number, its metrics after its last step, and what it said of the test rows.

    What it said is None where the rows of its task have no one class.
    """

    number: int
    seed: int
    metrics: Mapping[str, float]
    said: Said | None
    test_rows: int = 0


@dataclass(frozen=True)
class Standing:
    """A configuration after its retrainings, one a seed; `valid` is None where no row validated."""

    candidate: Candidate
    trials: Sequence[Retraining]
    valid: Interval | None
    test: Interval


@dataclass(frozen=True)
class Comparison:
    """The winner beside another configuration: its metric minus the other's, and Holm's p value among all of them."""

    other: Standing
    difference: Difference
    p: float
    better: bool  # whether the winner's metric is on the better side

    @property
    def is_told_apart(self) -> bool:
        """Whether the two can be told apart, be it to the winner's good or not."""
        return self.difference.is_told_apart and self.p <= ALPHA

    @property
    def said(self) -> str:
        """In a word or two."""
        if not self.is_told_apart:
            return "not distinguishable"
        return "worse" if self.better else "better"


@dataclass(frozen=True)
class Verdict:
    """All of it; `metric` is the study's own and `tested` the name of the same on the test rows."""

    promotion: Promotion
    metric: str
    tested: str
    direction: str
    standings: Sequence[Standing]
    winner: Standing
    comparisons: Sequence[Comparison] = field(default_factory=tuple)

    @property
    def test_rows(self) -> int:
        """On how many rows the models were tested."""
        return self.winner.trials[0].test_rows

    @property
    def defaults(self) -> Comparison | None:
        """The winner beside the objective as the file writes it; None where these are the same."""
        return next((one for one in self.comparisons if one.other.candidate.defaults), None)

    def beside(self, standing: Standing) -> Comparison | None:
        """The winner beside this one; None for itself."""
        return next((one for one in self.comparisons if one.other is standing), None)


def tested(metric: str) -> str:
    """The name under which a study's metric is recorded of the test rows."""
    return "test_loss" if metric in ("val_loss", "train_loss") else f"test_{metric}"


def companion(rows: Report, study: str) -> str | None:
    """The study that retrained the best of this one; None where there is none.

    Raises StudyError where it retrained those of an earlier study of that name.
    """
    name = f"{study}{SUFFIX}"
    found = next((row for row in rows.studies() if row["study"] == name), None)
    if found is None:
        return None
    if found["created"] < rows.study(study)["created"]:
        raise StudyError(
            f"{name} was made for an earlier study of that name; replace it: hpo promote -s {study} --again"
        )
    return name


def read(rows: Report, companion: str) -> Verdict:
    """What this companion has shown; raises StudyError where there is none, or retrainings are missing."""
    spec = StudySpec.from_dict(rows.study(companion)["spec"])
    if spec.promotes is None:
        raise StudyError(f"{companion}: is no companion study; hpo promote makes one")
    if spec.promotes.study not in {row["study"] for row in rows.studies()}:
        gone = f"{companion} retrained the best of {spec.promotes.study}, which was deleted"
        raise StudyError(f"{gone}; hpo trials -s {companion} shows its trials, hpo delete -s {companion} removes them")
    own = StudySpec.from_dict(rows.study(spec.promotes.study)["spec"])
    said = rows.predictions(companion, "test")
    trials = rows.trials(companion)
    return verdict(spec.promotes, own, trials, lambda number: rows.curve(companion, number)[-1], said)


def verdict(
    promotion: Promotion, own: StudySpec, trials: Sequence[Row], last: Callable[[int], Row], said: Sequence[Row]
) -> Verdict:
    """What the companion of the study `own` has shown, from its rows: `trials`, the last evaluation of each by number,
    and the predictions on the test rows.

    The winner is the configuration with the best mean on the validation rows; where none validated, the best of the
    search. The test rows choose nothing. Raises StudyError where retrainings are missing, or one has no metric.
    """
    metric = own.metric
    by_number = {row["number"]: Said.of(row) for row in said}
    found: dict[tuple[Any, ...], int] = {}
    ends = {trial["number"]: last(trial["number"])["metrics"] for trial in trials if trial["state"] == "COMPLETE"}
    counts = {trial["number"]: (trial.get("facts") or {}).get("rows", {}).get("test", 0) for trial in trials}
    for trial in trials:
        if ends.get(trial["number"], {}).get(tested(metric)) is not None:
            found.setdefault(_key(trial["params"]), trial["number"])
    _check_whole(promotion, trials, found, tested(metric))
    standings = []
    for candidate in promotion.candidates:
        numbers = [(seed, found[_key(promotion.point(candidate, seed))]) for seed in promotion.seeds]
        made = [
            Retraining(number, seed, ends[number], by_number.get(number), counts.get(number, 0))
            for seed, number in numbers
        ]
        standings.append(_standing(candidate, made, metric))
    towards = str(direction(metric))
    winner = choose(standings, towards)
    others = [standing for standing in standings if standing is not winner]
    comparisons = _compared(winner, others, metric, own.seed)
    return Verdict(promotion, metric, tested(metric), towards, standings, winner, comparisons)


def _check_whole(
    promotion: Promotion, trials: Sequence[Row], found: Mapping[tuple[Any, ...], int], metric: str
) -> None:
    missing = sum(_key(point) not in found for point in promotion.points)
    if not missing:
        return
    done = [trial for trial in trials if trial["state"] == "COMPLETE" and _key(trial["params"]) not in found]
    if done:
        where = f"trial {done[0]['number']}" + f" and {len(done) - 1} more" * (len(done) > 1)
        raise StudyError(
            f"{promotion.companion}: {metric} has no value after {where}: the model says the same of every test row, "
            f"or no number; hpo show -s {promotion.companion} {done[0]['number']} shows what it has"
        )
    failed = [trial for trial in trials if trial["state"] in ("FAIL", "PRUNED")]
    advice = f"hpo promote -s {promotion.study} goes on"
    if failed:
        first = f"trial {failed[0]['number']}: {failed[0]['error']}"
        advice = f"{first}; hpo requeue -s {promotion.companion} --failed, then {advice}"
    raise StudyError(f"{promotion.companion}: {missing} of {len(promotion.points)} retrainings are missing; {advice}")


def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple((address, params[address]) for address in sorted(params))


def _standing(candidate: Candidate, trials: Sequence[Retraining], metric: str) -> Standing:
    valid = [trial.metrics[metric] for trial in trials if metric in trial.metrics and "val_loss" in trial.metrics]
    test = intervals.mean([trial.metrics[tested(metric)] for trial in trials])
    return Standing(candidate, trials, intervals.mean(valid) if valid else None, test)


def choose(standings: Sequence[Standing], towards: str) -> Standing:
    """The best of them by the validation rows; where none validated, the first."""
    if any(standing.valid is None for standing in standings):
        return standings[0]
    pick = min if towards == "minimize" else max
    return pick(standings, key=lambda standing: standing.valid.mean if standing.valid else 0.0)


def _compared(winner: Standing, others: Sequence[Standing], metric: str, seed: int) -> list[Comparison]:
    differences = [_difference(winner, other, metric, seed, len(others)) for other in others]
    adjusted = intervals.holm([difference.p for difference in differences])
    lower = direction(metric) == "minimize"
    return [
        Comparison(other, difference, p, (difference.mean < 0) == lower)
        for other, difference, p in zip(others, differences, adjusted, strict=True)
    ]


def _difference(one: Standing, other: Standing, metric: str, seed: int, tests: int) -> Difference:
    name = "val_loss" if metric == "train_loss" else metric
    mine, theirs = ([trial.said for trial in side.trials if trial.said] for side in (one, other))
    if not scores.is_known(name) or not mine or not theirs:
        values = ([trial.metrics[tested(metric)] for trial in side.trials] for side in (one, other))
        return intervals.paired(*values)
    return intervals.bootstrapped(mine, theirs, lambda said, drawn: scores.score(name, said, drawn), seed, tests)
