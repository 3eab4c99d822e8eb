"""What `--json` of each command answers: the types, and their JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]
Direction = Literal["minimize", "maximize"]
Values = dict[str, Any]
"""By the address of a setting."""
Numbers = dict[str, float | None]
"""By name."""


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


class Mistake(TypedDict):
    """A row that the model got wrong; `where` and `text` are null where the rows are not on this machine."""

    row: int
    where: str | None
    truth: str
    predicted: str
    probability: float
    text: str | None


class Confusion(TypedDict):
    """Rows of one class that were taken for another, with their share of the true class."""

    truth: str
    predicted: str
    rows: int
    share: float


class Slice(TypedDict):
    """Metrics over the rows with one value in a column; `low` and `high` bound the accuracy at 95 %."""

    value: str
    rows: int
    accuracy: float
    f1_macro: float
    low: float
    high: float
    note: str | None


class Bin(TypedDict):
    """Rows by how sure the model was of them, and the share that is right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


class Calibration(TypedDict):
    """The expected calibration error, 0 to 1."""

    error: float
    bins: list[Bin]


class Errors(TypedDict):
    """What a model gets wrong; `rows_missing` says why texts are null, if they are."""

    study: str
    trial: int
    split: str
    step: int
    rows: int
    wrong: int
    metrics: Numbers
    mistakes: list[Mistake]
    confused: list[Confusion]
    calibration: Calibration
    column: str | None
    slices: list[Slice]
    rows_missing: str | None


class Saving(TypedDict):
    """An estimate, in seconds; of `unknown_trials` nothing could be estimated."""

    seconds: float
    unknown_trials: int


class Savings(TypedDict):
    """What was saved, by what saved it."""

    pruning: Saving
    caching: Saving


class Price(TypedDict):
    """In the currency of `rate`, the price of a worker's hour."""

    rate: float
    spent: float
    to_finish: float | None


class Cost(TypedDict):
    """Seconds of all workers together; `phases` and `unsplit`, `outcomes`, and `devices` add up to `work`."""

    study: str
    state: str
    work: float
    waiting: float
    phases: Numbers
    unsplit: float
    outcomes: Numbers
    devices: Numbers
    to_finish: float | None
    saved: Savings
    workers: int
    price: Price | None


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
    advice: list[str]
    tried: list[Tried]


class Check(TypedDict):
    """A study with every default, as a study file has its keys; the others are null where they were not asked for."""

    study: dict[str, Any]
    survey: Survey | None
    estimate: Estimate | None


class Interval(TypedDict):
    """A mean with its 95 % interval; without one where there is a single value."""

    mean: float
    low: float | None
    high: float | None


class Scored(Interval):
    """Over the seeds; `model` is the value of the model that was written."""

    model: float


class Difference(TypedDict):
    """One minus the other, with its 95 % interval, and p that it is chance."""

    mean: float
    low: float
    high: float
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


class Finding(TypedDict):
    """One thing that was looked at; `mend` says what to do where it is not ok."""

    check: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    mend: str | None


class Cache(TypedDict):
    """Frozen states and tokens, and the copies of models of URLs."""

    folder: str
    files: int
    bytes: int
    limit_bytes: int
    last_used: str | None
    models_folder: str
    models: int
    models_bytes: int
    models_last_used: str | None


class Server(TypedDict):
    """`server` is `embedded`, or the URL of your own, of which `schema` is the version of hpo's tables."""

    server: str
    running: bool
    postgresql: str | None
    kept: NotRequired[bool]
    in_use: NotRequired[bool]
    port: NotRequired[int | None]
    pid: NotRequired[int | None]
    data: NotRequired[str | None]
    schema: NotRequired[str]


ANSWERS: Mapping[str, Any] = {
    "check": Check,
    "studies": list[Study],
    "status": Status,
    "workers": list[Worker],
    "trials": list[Trial],
    "show": Shown,
    "best": Best,
    "errors": Errors,
    "cost": Cost,
    "promote": Promoted,
    "compare": Comparison | Matrix,
    "predict": list[Labelled],
    "doctor": list[Finding],
    "cache status": Cache,
    "db status": Server,
}
"""What each command answers, by the words that call it."""


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command's answer; KeyError where it has none."""
    found = TypeAdapter(ANSWERS[command]).json_schema()
    said = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hpo {command} --json"}
    return said | {name: value for name, value in found.items() if name != "title"}
