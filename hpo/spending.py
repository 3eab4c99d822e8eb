"""What a study has spent, on what, what it saved, and what is left: sums over its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

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

    def __add__(self, other: Saving) -> Saving:
        return Saving(self.seconds + other.seconds, self.trials + other.trials, self.unknown + other.unknown)


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


@dataclass
class Cached:
    """Sums over trials on one device that read the states of frozen blocks, in tokens times blocks and in seconds."""

    built: float = 0.0  # for the cache,
    building: float = 0.0  # and the seconds of it
    passed: float = 0.0  # in all passes
    cache: float = 0.0
    trials: int = 0

    def add(self, row: Row) -> None:
        """One trial more, that says how much is frozen."""
        frozen = row["frozen"]
        self.built += frozen.get("built", 0)
        self.building += frozen.get("seconds", 0.0)
        self.passed += frozen.get("train", 0) * (row["epochs"] or 0)
        self.passed += frozen.get("valid", 0) * (row["evaluations"] or 0)
        self.cache += row["phases"].get("cache", 0.0)
        self.trials += 1

    @property
    def saving(self) -> Saving:
        """What computing the states in each pass would have taken, less all that was spent on the cache.

        How long a token takes in a block is what those took who built the cache; not known where nobody did.
        """
        if not self.built:
            return Saving(unknown=self.trials)
        return Saving(self.passed * self.building / self.built - self.cache, self.trials)


@dataclass
class Sums:
    """Sums over trials as `hpo.report.Report.spent` gives them, to which more are added as they come."""

    work: float = 0.0
    waiting: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, float] = field(default_factory=dict)
    devices: dict[str, float] = field(default_factory=dict)
    pruning: Saving = field(default_factory=Saving)
    cached: dict[str, Cached] = field(default_factory=dict)
    unsized: Saving = field(default_factory=Saving)  # by caching, where it is not said how much is frozen
    over: float = 0.0  # the work of trials that are over,
    ended: int = 0  # and how many they are
    begun: list[float] = field(default_factory=list)  # the work of each other one

    def add(self, trials: Iterable[Row]) -> Self:
        """Add them, and return the sums."""
        for row in trials:
            if row["begun"]:
                self._add(row)
        return self

    def spending(self, unbegun: int = 0) -> Spending:
        """What they come to; `unbegun` trials are still to come."""
        return Spending(
            work=self.work,
            waiting=self.waiting,
            phases={name: self.phases[name] for name in PHASES.values() if name in self.phases},
            unsplit=self.work - sum(self.phases.values()),
            outcomes=dict(self.outcomes),
            devices=dict(self.devices),
            pruning=self.pruning,
            caching=sum((one.saving for one in self.cached.values()), self.unsized),
            to_finish=self._to_finish(unbegun),
        )

    def _add(self, row: Row) -> None:
        self.work += row["work"]
        self.waiting += row["waiting"]
        for sums, parts in (
            (self.phases, _phases(row)),
            (self.outcomes, _outcomes(row)),
            (self.devices, row["devices"]),
        ):
            for name, seconds in parts.items():
                if seconds:
                    sums[name] = sums.get(name, 0.0) + seconds
        self.pruning += _pruning(row)
        if row["cached"] and row["frozen"]:
            self.cached.setdefault(row["device"], Cached()).add(row)
        elif row["cached"]:
            self.unsized += Saving(unknown=1)
        if row["state"] not in OUTCOMES:
            self.begun.append(row["work"])
        elif row["work"]:
            self.over += row["work"]
            self.ended += 1

    def _to_finish(self, unbegun: int) -> float | None:
        if not self.begun and not unbegun:
            return 0.0
        if not self.ended:
            return None
        mean = self.over / self.ended
        return mean * unbegun + sum(max(mean - some, 0.0) for some in self.begun)


def spending(trials: Iterable[Row], unbegun: int = 0) -> Spending:
    """What a study's trials come to; `unbegun` ones are still to come."""
    return Sums().add(trials).spending(unbegun)


def price(spent: Spending, rate: float) -> dict[str, float | None]:
    """What a worker's hours cost at so much an hour, waiting included: those that were, and those to come."""
    hours = None if spent.to_finish is None else spent.to_finish / 3600
    return {"spent": rate * (spent.work + spent.waiting) / 3600, "to_finish": None if hours is None else rate * hours}


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


def _pruning(row: Row) -> Saving:
    """Of a trial that the pruner ended: the epochs that were left, as long as the trial's own took on average."""
    if row["state"] != "PRUNED" or not row["by_pruner"]:
        return Saving()
    if not (row["epochs"] and row["of_epochs"] and row["learned"]):
        return Saving(unknown=1)
    return Saving(max(row["of_epochs"] - row["epochs"], 0) * row["learned"] / row["epochs"], 1)
