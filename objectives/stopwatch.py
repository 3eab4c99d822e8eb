"""Wall time by phase."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter


@dataclass
class Lap:
    """One stay in a phase; `seconds` is filled in when it ends."""

    seconds: float = 0.0


class Stopwatch:
    """`with watch("train") as lap:` adds to `watch.seconds["train"]`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count what was measured before, elsewhere."""
        for phase, some in seconds.items():
            self.seconds[phase] += some

    @contextmanager
    def __call__(self, phase: str) -> Iterator[Lap]:
        lap, began = Lap(), perf_counter()
        try:
            yield lap
        finally:
            lap.seconds = perf_counter() - began
            self.seconds[phase] += lap.seconds
