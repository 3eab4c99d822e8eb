"""What a study has cost, as a command answers it."""

from __future__ import annotations

from typing_extensions import TypedDict

from hpo.answers.words import Numbers


class Saving(TypedDict):
    """An estimate, in seconds, null where none can be made; of `unknown_trials` nothing could be estimated."""

    seconds: float | None
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
