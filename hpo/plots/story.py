"""What there is to draw of a study, read once, and an axis for each parameter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpo.errors import StudyError
from hpo.report import Report
from hpo.space import Categorical, Int, Range
from hpo.spec import StudySpec
from hpo.tables import shown
from objectives.measures import Direction

Row = dict[str, Any]
LONG = 22  # letters of a choice that a picture has room for


@dataclass(frozen=True)
class Axis:
    """Where the values of one parameter lie; `label` is its address shortened as in `hpo trials`."""

    address: str
    label: str
    range: Range
    legible: Callable[[str], str] = str

    @property
    def log(self) -> bool:
        """Whether equal factors are equally far apart."""
        return not isinstance(self.range, Categorical) and self.range.log

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.range, Int)

    @property
    def choices(self) -> list[str]:
        """The labels of a categorical axis in the study file's order; none for a range of numbers."""
        values = self.range.choices if isinstance(self.range, Categorical) else ()
        return [self.legible(brief(value)) for value in values]

    @property
    def bounds(self) -> tuple[float, float]:
        """The two ends of the range; for choices the places of the first and the last."""
        if isinstance(self.range, Categorical):
            return 0.0, len(self.range.choices) - 1.0
        return float(self.range.low), float(self.range.high)

    def place(self, value: Any) -> float:
        """Where a value lies: a choice at its index; NaN for what is no value of this axis."""
        if not isinstance(self.range, Categorical):
            return float(value) if isinstance(value, int | float) else math.nan
        same = (i for i, choice in enumerate(self.range.choices) if _same(choice, value))
        return float(next(same, math.nan))

    def share(self, value: Any) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        low, high = self.bounds
        place = self.place(value)
        if self.log:
            low, high, place = (math.log(one) if one > 0 else math.nan for one in (low, high, place))
        return (place - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True)
class Story:
    """A study as far as pictures show it; trials by number, curves by trial and step, attempts by start.

    `spent` is what each trial took, as `hpo.spending` adds it up.
    """

    spec: StudySpec
    direction: Direction
    trials: Sequence[Row]
    curves: Sequence[Row]
    attempts: Sequence[Row]
    best: Row | None
    spent: Sequence[Row] = ()
    legible: Callable[[str], str] = str

    @property
    def name(self) -> str:
        """The study's name."""
        return self.legible(self.spec.study)

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.legible(self.spec.metric)

    @cached_property
    def axes(self) -> list[Axis]:
        """An axis a parameter in the study file's order; an address is shortened where no other would look the same."""
        short = [address.rpartition(".")[2] for address in self.spec.search]
        return [
            Axis(address, self.legible(tail if short.count(tail) == 1 else address), range_, self.legible)
            for (address, range_), tail in zip(self.spec.search.items(), short, strict=True)
        ]

    @cached_property
    def valued(self) -> list[Row]:
        """The trials that are over and have a best value: complete and pruned ones."""
        return [row for row in self.trials if row["state"] in ("COMPLETE", "PRUNED") and _finite(row["best_value"])]

    @property
    def failed(self) -> list[Row]:
        """The trials that failed."""
        return [row for row in self.trials if row["state"] == "FAIL"]

    @property
    def sign(self) -> int:
        """What makes a value the better, the lower it is."""
        return 1 if self.direction == "minimize" else -1

    def texts(self) -> set[str]:
        """Every letter of text that people chose."""
        said = [self.spec.study, self.spec.metric, *self.spec.search]
        return set("".join(said + [label for axis in self.axes for label in axis.choices]))

    def written(self, legible: Callable[[str], str]) -> Story:
        """The same study with its texts passed through `legible`."""
        return dataclasses.replace(self, legible=legible)

    def at_least(self, count: int, kind: str) -> list[Row]:
        """The valued trials; raises StudyError where there are fewer than `count`."""
        if len(self.valued) < count:
            many = f"{count} trials that have" if count > 1 else "a trial that has"
            raise StudyError(f"{self.spec.study}: {kind} needs {many} ended with a value; there are {len(self.valued)}")
        return self.valued

    def chosen(self, params: Sequence[str]) -> list[Axis]:
        """The axes of these parameters, by address or its last part, or all; raises StudyError for an unknown one."""
        found = []
        for name in params:
            fitting = [axis for axis in self.axes if name in (axis.address, axis.label)]
            if not fitting:
                known = ", ".join(axis.address for axis in self.axes)
                raise StudyError(f"{self.spec.study}: --param {name}: not searched; searched are {known}")
            found += fitting
        return list(dict.fromkeys(found)) if params else self.axes


def read(report: Report, study: str) -> Story:
    """All that pictures need; raises StudyError where there is no such study."""
    row = report.study(study)
    return Story(
        spec=StudySpec.from_dict(row["spec"]),
        direction=row["direction"],
        trials=report.trials(study),
        curves=report.curves(study),
        attempts=report.attempts(study),
        best=report.best(study),
        spent=report.spent(study),
    )


def brief(value: Any) -> str:
    """A choice as a label: `null` for None, the end of what is too long."""
    text = "null" if value is None else shown(value)
    return text if len(text) <= LONG else f"…{text[-LONG + 1 :]}"


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
