"""What a model gets wrong, as a command answers it."""

from __future__ import annotations

from typing_extensions import TypedDict

from hpo.answers.words import Numbers


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
