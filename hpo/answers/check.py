"""What is known of a study before it runs, as a command answers it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from hpo.answers.words import Numbers, Values


class Odd(TypedDict):
    """A row whose neighbours have another label."""

    split: str
    where: str
    label: str
    neighbours: str
    share: float
    text: str


class Oddities(TypedDict):
    """Rows with a doubtful label."""

    rows: int
    looked: int
    share: float | None
    odd: list[Odd]


class Survey(TypedDict):
    """What the rows look like: `measures` by name, then by split, a count or an object of counts."""

    splits: list[str]
    measures: dict[str, dict[str, Any]]
    advice: list[str]
    odd: Oddities


class TrialSeconds(TypedDict):
    """Of the objective's own values, the cheapest, the dearest, and on average."""

    default: float
    low: float
    high: float
    expected: float


class Tried(TypedDict):
    """A trial of the dry run."""

    params: Values
    steps: int
    evaluations: int
    trial_seconds: float
    seconds: Numbers
    build_seconds: float | None
    peak_memory_bytes: int | None


class Unfrozen(TypedDict):
    """Of gradual unfreezing: the blocks that learn in the last epoch, of those that may."""

    learn: int
    of: int


class Estimate(TypedDict):
    """What a study would take; `pruned_study_seconds` where the pruner says what it leaves."""

    trial_seconds: TrialSeconds
    trials: int
    workers: int
    start_seconds: float
    build_seconds: float | None
    study_seconds: float
    pruned_study_seconds: float | None
    kept_share: float | None
    device: str
    cpu_share: float | None
    memory_bytes: int | None
    free_memory_bytes: int | None
    workers_per_device: int
    unfrozen: Unfrozen | None
    advice: list[str]
    tried: list[Tried]


class Check(TypedDict):
    """A study with every default, as a study file has its keys; the others are null where they were not asked for."""

    study: dict[str, Any]
    survey: Survey | None
    estimate: Estimate | None


class RatedModel(TypedDict):
    """A model before it is trained: `log_me` in nats, and metrics of a linear model on `valid` rows."""

    name: str
    log_me: float
    metrics: Numbers
    train: int
    valid: int
    seconds: float


class Ranking(TypedDict):
    """The models, the most promising first, and those that are tried first."""

    study: str
    models: list[RatedModel]
    queued: list[str]
