"""The contract between a trial and whoever runs it: settings in, evaluations out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

RUNTIME = (
    "device",
    "device_name",
    "threads",
    "precision",
    "micro_batch",
    "eval_micro_batch",
    "cached",
    "lean",
    "lean_off",
    "model_identity",
    "versions",
)
"""The facts that a result depends on beside the settings and the rows, to the last bit."""


@dataclass(frozen=True)
class Result:
    """What is known of a trial so far, beside its evaluations.

    `seconds` is wall time by phase (load, data, train, evaluate, report); `facts` is ready for JSON: those of RUNTIME,
    the model's full name and more.
    """

    steps: int
    trainable_parameters: int
    seconds: Mapping[str, float]
    facts: Mapping[str, Any]

    @property
    def runtime(self) -> dict[str, Any]:
        """The facts that the result depends on."""
        return {name: self.facts[name] for name in RUNTIME if name in self.facts}


@dataclass(frozen=True)
class Snapshot:
    """A trial's state outside the process: `tensors` as safetensors keeps them, `values` as JSON does.

    `facts` says how it was made, by the names of RUNTIME: a trial continues to the same bits only where these are the
    same.
    """

    tensors: Mapping[str, Any]
    values: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """What a model said of each row of a split, in the order in which the split is read.

    `classes` are the names, `truth` and `predicted` places among them, `probability` is that of the predicted class
    and `loss` the row's plain loss, in nats.
    """

    split: Literal["valid", "test"]
    classes: Sequence[str]
    truth: Sequence[int]
    predicted: Sequence[int]
    probability: Sequence[float]
    loss: Sequence[float]


@dataclass(frozen=True)
class Evaluation:
    """One look at a model in training.

    `step` counts evaluations from 1; `epoch` is the passes over the training rows so far. `metrics` holds plain
    floats, `val_loss` and `train_loss` among them (mean per row, in nats); values may be NaN. `details` holds what is
    no single number, ready for JSON, such as a confusion matrix; `result` is the trial's as it stands, and
    `snapshot` copies the state that a run given it as `resume` continues from; None where there is none to copy.
    That copy has about `snapshot_bytes`. `predictions` are those on the validation rows, or on the test rows where
    these were scored; then `model` writes the trained model into a folder, as `objectives.whole` says.
    """

    step: int
    epoch: float
    metrics: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    result: Result | None = None
    snapshot: Callable[[], Snapshot] | None = None
    snapshot_bytes: int = 0
    predictions: Predictions | None = None
    model: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Rehearsal:
    """What a trial would cost, from a few real steps of it.

    `steps` and `evaluations` are those of the whole trial, counted exactly. `seconds` is wall time: `rows` (reading
    them, once a process), `load` (the model, once a trial), `train` (all steps) and `evaluate` (all evaluations).
    Memory is the process's on a CPU, what is allocated on a GPU; None where nothing was trained. `free_memory_bytes`
    is what the device had before. `took` is how long it took to find out, after the rows were read, `cpu_share`
    the share of its threads' time in which the process computed: low where others wanted the cores. `build_seconds` is
    what the cache of frozen layers takes to build, once for all trials; None where each batch runs them. Where blocks
    come to learn one after the other, `unfrozen` is how many do in the last epoch, by which the steps were timed, and
    of how many.
    """

    steps: int
    evaluations: int
    seconds: Mapping[str, float]
    device: str = "cpu"
    peak_memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    took: float = 0.0
    cpu_share: float | None = None
    build_seconds: float | None = None
    unfrozen: Sequence[int] | None = None

    @property
    def trial_seconds(self) -> float:
        """A whole trial in a process that has read the rows."""
        return sum(seconds for phase, seconds in self.seconds.items() if phase != "rows")


@dataclass(frozen=True)
class Rating:
    """What a model is worth to a task before it is trained.

    `log_me` is the log evidence, in nats, of a linear model of its features, the mean over `train` rows and targets;
    `metrics` are the task's of that linear model on `valid` validation rows, losses apart. It took `seconds`.
    """

    log_me: float
    metrics: Mapping[str, float]
    train: int
    valid: int
    seconds: float


Report = Callable[[Evaluation], None]
"""Called at each evaluation, in order. It may raise: that is all that pruning and pausing are."""

Heed = Callable[[], None]
"""Called often between two evaluations: before each optimizer step, before each batch of an evaluation or of what is
computed for the cache, and while that is waited for or read. It may raise as a Report may, and so end a trial that
nobody wants any more; it must be quick, and do nothing otherwise."""


def unheeded() -> None:
    """The Heed of a trial that ends at its evaluations alone."""
