"""The search space: at the address of a setting, the range its values are drawn from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

Value = float | int | str | bool | None
Params = Mapping[str, Value]


class Trial(Protocol):
    """What is needed of `optuna.trial.Trial`."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value: ...


@dataclass(frozen=True)
class Float:
    """Real numbers from low to high, both included; `points` is how many of them a grid takes."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    points: int | None = None

    @property
    def count(self) -> int | None:
        """The number of values on a grid; None without `step` or `points`."""
        if self.step is None:
            return self.points
        return int((exact(self.high) - exact(self.low)) / exact(self.step)) + 1

    def value(self, index: int) -> float:
        """The value at an index of the grid, from 0."""
        if self.step is not None:
            return float(exact(self.low) + index * exact(self.step))
        return _spaced(self, index)

    def at(self, share: float) -> float:
        """The value at a share of the range, from 0 to below 1."""
        if self.step is not None:
            return self.value(int(share * (self.count or 1)))
        return _between(self.low, self.high, share, self.log)

    def suggest(self, address: str, trial: Trial) -> float:
        return trial.suggest_float(address, self.low, self.high, step=self.step, log=self.log)

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step  # as Optuna tells: its samplers draw 0.1 + 2 * 0.1, which is not 0.3
        return abs(steps - round(steps)) < 1e-8

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (f" in steps of {self.step:g}" if self.step else "")


@dataclass(frozen=True)
class Int:
    """Whole numbers from low to high, both included, `step` apart; `points` is how many of them a grid takes."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    points: int | None = None

    @property
    def count(self) -> int:
        """The number of values on a grid."""
        return self.points or (self.high - self.low) // self.step + 1

    def value(self, index: int) -> int:
        """The value at an index of the grid, from 0."""
        return round(_spaced(self, index)) if self.points else self.low + index * self.step

    def at(self, share: float) -> int:
        """The value at a share of the range, from 0 to below 1; each is as likely unless log."""
        if not self.log:
            return self.low + int(share * ((self.high - self.low) // self.step + 1)) * self.step
        return min(max(round(_between(self.low - 0.5, self.high + 0.5, share, log=True)), self.low), self.high)

    def suggest(self, address: str, trial: Trial) -> int:
        return trial.suggest_int(address, self.low, self.high, step=self.step, log=self.log)

    def __contains__(self, value: object) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and not (value - self.low) % self.step  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self.low} to {self.high}" + (f" in steps of {self.step}" if self.step > 1 else "")


@dataclass(frozen=True)
class Categorical:
    """One of several values, in no order."""

    choices: tuple[Value, ...]

    @property
    def count(self) -> int:
        """The number of values on a grid."""
        return len(self.choices)

    def value(self, index: int) -> Value:
        """The value at an index of the grid, from 0."""
        return self.choices[index]

    def at(self, share: float) -> Value:
        """The value at a share of the choices, from 0 to below 1."""
        return self.choices[int(share * len(self.choices))]

    def suggest(self, address: str, trial: Trial) -> Value:
        return trial.suggest_categorical(address, self.choices)

    def __contains__(self, value: object) -> bool:
        return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"


Range = Float | Int | Categorical
Space = Mapping[str, Range]


def suggest(space: Space, trial: Trial) -> dict[str, Value]:
    """The trial's value at every address, in the order of the study file."""
    return {address: range_.suggest(address, trial) for address, range_ in space.items()}


def points(space: Space) -> int | None:
    """The number of points of the grid; None where a range has no countable values."""
    counts = [range_.count for range_ in space.values()]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def grid(space: Space) -> list[dict[str, Value]]:
    """Every point of the grid, the last address of the study file changing fastest."""
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*map(values, space.values()))]


def values(range_: Range) -> Iterator[Value]:
    """The values of a range on a grid; none for a Float without `step` or `points`."""
    return (range_.value(index) for index in range(range_.count or 0))


def ends(range_: Range) -> Iterator[Value]:
    """Both ends of a range of numbers, or all choices."""
    yield from range_.choices if isinstance(range_, Categorical) else (range_.low, range_.high)


def place(space: Space, shares: Sequence[float]) -> dict[str, Value]:
    """The point of the space at these shares of its ranges, by address in alphabetical order."""
    return {address: space[address].at(share) for address, share in zip(sorted(space), shares, strict=True)}


def exact(value: float) -> Decimal:
    """The decimal number that a person wrote, for sums without rounding."""
    return Decimal(str(value))


def _between(low: float, high: float, share: float, log: bool) -> float:
    found = low * (high / low) ** share if log else low + share * (high - low)
    return min(max(found, low), high)  # rounding may step over a bound


def _spaced(range_: Float | Int, index: int) -> float:
    """One of `points` values with even distances, rounded so that no machine's `exp` shows; the bounds are exact."""
    last = (range_.points or 1) - 1
    if index in (0, last):
        return range_.high if index else range_.low
    return float(f"{_between(range_.low, range_.high, index / last, range_.log):.10g}")
