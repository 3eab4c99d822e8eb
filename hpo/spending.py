"""What a study has spent, on what, what it saved, and what is left: sums over its trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Row = Mapping[str, Any]

PHASES = {
    "train": "training",
    "evaluate": "evaluation",
    "load": "loading",
    "data": "data",
    "cache": "cache",
    "checkpoint": "checkpointing",
    "report": "reporting",
}
"""A stopwatch's phases, and what they are called here."""

OUTCOMES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
UNFINISHED = "unfinished"
REPEATED = "repeated"


@dataclass(frozen=True)
class Saving:
    """Seconds of work that were not done; `unknown` trials saved some, too, without its being known how much."""

    seconds: float = 0.0
    trials: int = 0
    unknown: int = 0

    @property
    def known(self) -> float | None:
        """The seconds, None where of all trials nothing is known."""
        return None if self.unknown and not self.trials else self.seconds


@dataclass(frozen=True)
class Spending:
    """Seconds of all workers together.

    `work` is what attempts took, and `waiting` the time between two of a worker's attempts. `phases` and `unsplit` add
    up to `work`, and so do `outcomes`, and `devices`: on what it was done. `to_finish` is the work left at the mean
    of the trials that are over; None before the first one is, 0 where nothing is left.
    """

    work: float
    waiting: float
    phases: Mapping[str, float] = field(default_factory=dict)
    unsplit: float = 0.0
    outcomes: Mapping[str, float] = field(default_factory=dict)
    devices: Mapping[str, float] = field(default_factory=dict)
    pruning: Saving = field(default_factory=Saving)
    caching: Saving = field(default_factory=Saving)
    to_finish: float | None = None

    def plain(self) -> dict[str, Any]:
        """Ready for JSON."""
        kept = {name: value for name, value in asdict(self).items() if name not in ("pruning", "caching")}
        saved = {name: {"seconds": one.known, "unknown_trials": one.unknown} for name, one in self.savings.items()}
        return {**kept, "saved": saved}

    @property
    def savings(self) -> dict[str, Saving]:
        """What was saved, by what saved it."""
        return {"pruning": self.pruning, "caching": self.caching}


def spending(trials: Sequence[Row], unbegun: int = 0) -> Spending:
    """The sums over trials as `hpo.report.Report.spent` gives them; `unbegun` ones are still to come."""
    phases: dict[str, float] = defaultdict(float)
    for row in trials:
        for phase, seconds in _phases(row).items():
            phases[phase] += seconds
    work = sum(row["work"] for row in trials)
    return Spending(
        work=work,
        waiting=sum(row["waiting"] for row in trials),
        phases={name: phases[name] for name in PHASES.values() if name in phases},
        unsplit=work - sum(phases.values()),
        outcomes=_by(trials, _outcomes),
        devices=_by(trials, lambda row: row["devices"]),
        pruning=_pruning(trials),
        caching=_caching(trials),
        to_finish=_to_finish(trials, unbegun),
    )


def price(spent: Spending, rate: float) -> dict[str, float | None]:
    """What a worker's hours cost at so much an hour, waiting included: those that were, and those to come."""
    hours = None if spent.to_finish is None else spent.to_finish / 3600
    return {"spent": rate * (spent.work + spent.waiting) / 3600, "to_finish": None if hours is None else rate * hours}


def _by(trials: Iterable[Row], parts: Callable[[Row], Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for row in trials:
        for name, seconds in parts(row).items():
            found[name] += seconds
    return {name: seconds for name, seconds in found.items() if seconds}


def _phases(row: Row) -> dict[str, float]:
    """What the way to the trial's result took, by phase, never more than all of its attempts."""
    known = {name: float(row["phases"].get(phase, 0.0)) for phase, name in PHASES.items()}
    known = {name: seconds for name, seconds in known.items() if seconds}
    return known if sum(known.values()) <= row["work"] else {}


def repeated(row: Row) -> float:
    """What attempts before the last did in vain: what is not on the way to the trial's result.

    A trial that is not over has not yet said what its way was.
    """
    if row["state"] not in OUTCOMES:
        return 0.0
    return float(min(max(row["work"] - sum(_phases(row).values()), 0.0), row["earlier"]))


def _outcomes(row: Row) -> dict[str, float]:
    again = repeated(row)
    return {OUTCOMES.get(row["state"], UNFINISHED): row["work"] - again, REPEATED: again}


def _pruning(trials: Iterable[Row]) -> Saving:
    """Of trials that the pruner ended: the epochs that were left, as long as the trial's own took on average."""
    pruned = [row for row in trials if row["state"] == "PRUNED" and row["by_pruner"]]
    known = [row for row in pruned if row["epochs"] and row["of_epochs"] and row["learned"]]
    saved = sum(max(row["of_epochs"] - row["epochs"], 0) * row["learned"] / row["epochs"] for row in known)
    return Saving(saved, len(known), len(pruned) - len(known))


def _caching(trials: Iterable[Row]) -> Saving:
    """Of trials that read the states of frozen blocks: what computing them in each pass would have taken.

    How long a token takes in a block is what those took who built the cache, on the same device; what all trials spent
    on the cache is taken off.
    """
    cached = [row for row in trials if row["cached"]]
    speed = _seconds_a_block(row for row in cached if row["frozen"])
    known = [row for row in cached if row["frozen"] and row["device"] in speed]
    plain = sum(_passed(row) * speed[row["device"]] for row in known)
    return Saving(plain - sum(row["phases"].get("cache", 0.0) for row in known), len(known), len(cached) - len(known))


def _passed(row: Row) -> float:
    """The tokens of all passes that a trial made, times the blocks that are frozen."""
    train, valid = row["frozen"].get("train", 0), row["frozen"].get("valid", 0)
    return float(train * (row["epochs"] or 0) + valid * (row["evaluations"] or 0))


def _seconds_a_block(rows: Iterable[Row]) -> dict[str, float]:
    """Seconds that a token took in a frozen block, by device."""
    built: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        built[row["device"]] += row["frozen"].get("built", 0)
        seconds[row["device"]] += row["frozen"].get("seconds", 0.0)
    return {device: seconds[device] / some for device, some in built.items() if some}


def _to_finish(trials: Sequence[Row], unbegun: int) -> float | None:
    over = [row["work"] for row in trials if row["state"] in OUTCOMES and row["work"]]
    begun = [row["work"] for row in trials if row["state"] not in OUTCOMES]
    if not begun and not unbegun:
        return 0.0
    if not over:
        return None
    mean = sum(over) / len(over)
    return float(mean * unbegun + sum(max(mean - some, 0.0) for some in begun))
