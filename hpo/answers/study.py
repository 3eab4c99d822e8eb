"""What studies, trials and workers are, as commands answer it."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from hpo.answers.words import Direction, Numbers, Values

State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]


class Asked(TypedDict):
    """What people last asked for; times are ISO 8601, here and everywhere."""

    asked: str | None
    asked_by: str | None
    asked_at: str | None


class Study(Asked):
    """A study with its counts: `trials` is the budget, `made` what claims took of it."""

    study: str
    metric: str
    direction: Direction
    trials: int
    made: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    remaining: int
    state: Literal["open", "running", "paused", "stopped", "complete", "failed"]
    error: str | None
    created: str
    ended_by: str | None
    ended_at: str | None


class Best(TypedDict):
    """The best complete trial, with all metrics of its best evaluation, `step`."""

    study: str
    number: int
    value: float
    step: int
    epoch: float
    params: Values
    metrics: Numbers
    metric: str
    direction: Direction


class Running(TypedDict):
    """A trial that some worker holds, or that was given back, with its last evaluation."""

    number: int
    worker: str | None
    attempts: int
    activity: str | None
    params: Values
    best_value: float | None
    step: int | None
    epoch: float | None
    value: float | None
    seconds: float | None


class Status(Study):
    """A study, what runs of it, and its best so far."""

    trials_running: list[Running]
    best: Best | None


class Worker(TypedDict):
    """A worker that runs a trial; `seconds` since the attempt began, `last_beat` since its last sign of life."""

    worker: str
    host: str
    pid: int
    device: str | None
    visible_devices: str | None
    study: str
    trial: int
    attempt: int
    step: int
    seconds: float
    last_beat: float


class Trial(Asked):
    """A trial: `value` is Optuna's, `best_value` the best evaluation, `seconds` by phase, `facts` how it ran."""

    number: int
    state: State
    activity: str | None
    value: float | None
    best_value: float | None
    best_step: int | None
    last_step: int | None
    params: Values
    metrics: Numbers
    attempts: int
    worker: str | None
    host: str | None
    error: str | None
    trainable_parameters: int | None
    seconds: Numbers | None
    facts: dict[str, Any] | None
    started: str | None
    finished: str | None
    requeued_from: int | None


class Evaluation(TypedDict):
    """A point of a learning curve; `prune` is the verdict there."""

    step: int
    epoch: float
    attempt: int
    value: float | None
    metrics: Numbers
    details: dict[str, Any] | None
    prune: bool
    recorded: str


class Attempt(TypedDict):
    """One worker's go at a trial."""

    attempt: int
    worker: str
    host: str
    pid: int
    started: str
    ended: str | None
    outcome: str | None
    error: str | None


class Shown(Trial):
    """A trial with its settings, its learning curve and its attempts."""

    settings: dict[str, Any] | None
    trial_id: int
    curve: list[Evaluation]
    history: list[Attempt]
