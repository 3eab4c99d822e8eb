"""What promotion, comparison and prediction have shown, as commands answer it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict
from typing_extensions import TypedDict

from hpo.answers.words import Direction, Numbers, Values


class Interval(TypedDict):
    """A mean with its 95 % interval; without one where there is a single value."""

    mean: float
    low: float | None
    high: float | None


class Scored(Interval):
    """Over the seeds; `model` is the value of the model that was written."""

    model: float


class Difference(TypedDict):
    """One minus the other, with its 95 % interval, and p that it is chance; without one where there is one seed."""

    mean: float
    low: float | None
    high: float | None
    p: float


class Retraining(TypedDict):
    """A trial of the companion study."""

    number: int
    seed: int
    metrics: Numbers


class Configuration(TypedDict):
    """What was retrained: `number` and `value` are of the trial that it comes from, `p` is Holm's."""

    params: Values
    number: int | None
    value: float | None
    stop: int | None
    defaults: bool
    valid: Interval | None
    test: Interval
    trials: list[Retraining]
    winner: bool
    difference: Difference | None
    p: float | None
    verdict: str


class Promoted(TypedDict):
    """What the retrainings have shown, and the folder of the winner's `model`."""

    study: str
    companion: str
    fit: Literal["train", "all"]
    seeds: list[int]
    metric: str
    tested: str
    direction: Direction
    test_rows: int
    configurations: list[Configuration]
    beats_defaults: bool | None
    metrics: dict[str, Scored]
    model: str
    facts: dict[str, Any]


class Compared(TypedDict):
    """A study's winner, or a rule, which has no configuration."""

    name: str
    configuration: str | None
    params: Values
    shots: int | None
    seeds: list[int]
    search_seconds: float | None
    training_seconds: float | None
    measures: dict[str, Interval]


class Pair(TypedDict):
    """The first's metric minus the second's; `p` is Holm's, of all pairs."""

    one: str
    other: str
    difference: Difference
    p: float
    verdict: str


class Comparison(TypedDict):
    """Studies and rules on the same test rows."""

    metric: str
    test_rows: int
    compared: list[Compared]
    pairs: list[Pair]


class Cell(TypedDict):
    """A model on a domain; `seen` counts rows whose text trained or chose the model, null where nobody can say."""

    model: str
    domain: str
    rows: int
    seen: int | None
    measures: dict[str, Interval]


class Matrix(TypedDict):
    """Models by domains, of `hpo compare --on`; cells model by model."""

    metric: str
    models: list[str]
    domains: list[str]
    cells: list[Cell]


class Labelled(TypedDict):
    """A row of the file with all its columns, and two more; the prediction is a class, or what else the task tells."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    prediction: Any
    probability: float | None
