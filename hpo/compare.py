"""What was promoted of several studies, and simple rules, side by side on the same test rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo import card, intervals, scores, verdict
from hpo.errors import StudyError
from hpo.intervals import Difference, Interval
from hpo.promotion import SHOTS
from hpo.report import Report, Row
from hpo.scores import Said
from hpo.space import Value
from hpo.store import Plan, Store
from hpo.verdict import ALPHA, Standing, Verdict
from objectives import settings
from objectives.measures import limits
from objectives.settings import Data, Transfer

MEASURES = ("accuracy", "precision_macro", "recall_macro", "f1_macro")
_SAME = ("label", "group", "where", "clean", "encoding", "delimiter")
"""Settings of `data` that decide with the rows' fingerprint and the split which rows are tested."""


@dataclass(frozen=True)
class Contestant:
    """What is compared: predictions on the test rows, one a training with a seed of its own.

    `shots` is the training rows of each class, None for all. `search` and `training` are what it took, in seconds of
    one worker; None where nothing was searched or trained.
    """

    name: str
    said: Sequence[Said]
    seeds: tuple[int, ...] = ()
    shots: Value = None
    chosen: str | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    search: float | None = None
    training: float | None = None


@dataclass(frozen=True)
class Promoted:
    """A study with its companion, and what that one has shown."""

    own: Plan
    companion: Plan
    found: Verdict

    @property
    def data(self) -> Data:
        """Which rows its models were tested on."""
        objective = self.companion.spec.objective
        assert isinstance(objective, Transfer)  # noqa: S101 - no other is promoted
        return objective.data


@dataclass(frozen=True)
class Pair:
    """Two contestants: the first's metric minus the second's, and Holm's p value among all pairs."""

    one: str
    other: str
    difference: Difference
    p: float

    @property
    def said(self) -> str:
        """Which is better, if they can be told apart."""
        if not self.difference.is_told_apart or self.p > ALPHA:
            return "not distinguishable"
        return f"{self.one if self.difference.mean > 0 else self.other} is better"


@dataclass(frozen=True)
class Comparison:
    """All of it: each contestant's measures with their intervals, and each pair by one of these, `metric`."""

    metric: str
    rows: int
    contestants: Sequence[Contestant]
    measures: Sequence[Mapping[str, Interval]]
    pairs: Sequence[Pair]


def promoted(store: Store, rows: Report, study: str) -> Promoted:
    """A study that was promoted; raises StudyError, with what promotes it, where it was not."""
    own, companion = store.plan(study), verdict.companion(rows, study)
    if own.spec.promotes:
        raise StudyError(f"{study} belongs to {own.spec.promotes.study}: compare that one")
    if companion is None:
        raise StudyError(
            f"{study} has no predictions on its test rows: hpo promote -s {study} --top 1 makes them, and so does "
            "hpo compare with --promote"
        )
    return Promoted(own, store.plan(companion), verdict.read(rows, companion))


def check_same(found: Sequence[Promoted]) -> None:
    """Raises StudyError where studies were not tested on the same rows, or learned other labels."""
    first = found[0]
    for other in found[1:]:
        if change := _change(first, other):
            names = f"{first.own.spec.study} and {other.own.spec.study}"
            raise StudyError(f"{names} have other test rows ({change}); right is studies of the same file and split")


def _change(one: Promoted, other: Promoted) -> str | None:
    if one.own.fingerprint != other.own.fingerprint:
        return "the files differ"
    for name, mine in _tested(one.data).items():
        if (theirs := _tested(other.data)[name]) != mine:
            return f"data.{name}: {mine} and {theirs}"
    mine, theirs = (_said(promoted, promoted.found.winner)[0] for promoted in (one, other))
    same = tuple(mine.classes) == tuple(theirs.classes) and mine.truth.tolist() == theirs.truth.tolist()
    return None if same else "their labels differ"


def _said(study: Promoted, standing: Standing) -> list[Said]:
    """What the retrainings said of the test rows; raises StudyError where their rows have no one class."""
    found = [trial.said for trial in standing.trials if trial.said is not None]
    if len(found) < len(standing.trials):
        raise StudyError(f"{study.own.spec.study}: each row has one class in studies that can be compared")
    return found


def _tested(data: Data) -> dict[str, Any]:
    """What decides which rows are tested: of files of their own no split."""
    found = {name: settings.get(data, name) for name in _SAME}
    if data.hub or data.path:
        names = ("train", "valid", "test") if data.hub else ()
        found |= {name: getattr(data, name) for name in names}
        found |= {f"split.{name}": getattr(data.split, name) for name in ("valid", "test", "seed")}
    if data.group:
        found |= {"split.train": data.split.train}
    return found


def contestants(rows: Report, study: Promoted) -> Iterator[Contestant]:
    """The winner of a study; where `data.shots` is searched, the winner of each number of rows, the fewest first."""
    found, name = study.found, study.own.spec.study
    if SHOTS not in study.own.spec.search:
        yield _contestant(rows, study, name, found.winner, None)
        return
    for shots in sorted({standing.candidate.shots for standing in found.standings}, key=_few_first):
        among = [standing for standing in found.standings if standing.candidate.shots == shots]
        yield _contestant(rows, study, f"{name}, {rows_of(shots)}", verdict.choose(among, found.direction), shots)


def rows_of(shots: Value) -> str:
    """Training rows in words."""
    return "all rows" if shots is None else f"{shots} a class"


def _few_first(shots: Value) -> tuple[bool, int]:
    return shots is None, int(shots or 0)


def _contestant(rows: Report, study: Promoted, name: str, best: Standing, shots: Value) -> Contestant:
    own = study.own.spec
    chosen = card.called(best.candidate)
    said, seeds = _said(study, best), tuple(trial.seed for trial in best.trials)
    among = {"shots": shots} if SHOTS in own.search else {}
    spent = [_seconds(rows, plan.spec.study, **among) for plan in (study.own, study.companion)]
    if not among and isinstance(own.objective, Transfer):
        shots = own.objective.data.shots
    return Contestant(name, said, seeds, shots, chosen, best.candidate.params, *spent)


def _seconds(rows: Report, study: str, **among: Value) -> float:
    """What the attempts at a study's trials took, together; of those trials with so many `shots`, where it is given."""
    numbers = {row["number"] for row in rows.trials(study) if not among or row["params"].get(SHOTS) == among["shots"]}
    return sum(_length(row) for row in rows.attempts(study) if row["number"] in numbers)


def _length(attempt: Row) -> float:
    return float((attempt["until"] - attempt["started"]).total_seconds())


def compared(found: Sequence[Contestant], metric: str, seed: int) -> Comparison:
    """Each contestant's measures, and all pairs of them by a paired bootstrap over test rows and seeds.

    Contestants with the same seeds are drawn together, others each by itself.
    """
    sides, kinds = [one.said for one in found], [one.seeds for one in found]

    places = list(itertools.combinations(range(len(found)), 2))

    def drawn(measure: str) -> intervals.Draws:
        count = intervals.draws_for(len(places)) if measure == metric else None
        return intervals.drawn(sides, lambda said, weights: scores.score(measure, said, weights), seed, kinds, count)

    draws = {measure: drawn(measure) for measure in dict.fromkeys((*MEASURES, metric))}
    measures = [
        {name: of.interval(side).within(*limits(name)) for name, of in draws.items()} for side in range(len(found))
    ]
    differences = [draws[metric].difference(one, other) for one, other in places]
    adjusted = intervals.holm([difference.p for difference in differences])
    pairs = [
        Pair(found[one].name, found[other].name, difference, p)
        for (one, other), difference, p in zip(places, differences, adjusted, strict=True)
    ]
    return Comparison(metric, len(sides[0][0].truth), found, measures, pairs)
