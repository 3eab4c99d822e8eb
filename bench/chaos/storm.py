"""A storm over one study: launchers are kept running, faults strike, until the study is complete."""

from __future__ import annotations

import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from bench.chaos.faults import FAULTS, Scene, choose, settle
from bench.chaos.place import Place

LAUNCHERS, WORKERS = 2, 2  # two machines' worth: 4 workers
POLL_SECONDS = 0.1
LONGEST_SECONDS = 240.0  # without an evaluation: something hangs
_EVALUATIONS = """
SELECT count(*) FROM hpo.metrics JOIN trials USING (trial_id) JOIN studies USING (study_id) WHERE study_name = %s
"""
_STATE = "SELECT state FROM hpo.studies WHERE study = %s"
_ENDINGS = "SELECT outcome, count(*) FROM hpo.attempts JOIN studies USING (study_id) WHERE study_name = %s GROUP BY 1"


class StuckError(Exception):
    """Nothing was recorded for longer than any fault explains."""


@dataclass
class Log:
    """What happened: seconds from each fault to the next evaluation on record, and how attempts ended."""

    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    endings: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def faults(self) -> int:
        """How many struck."""
        return sum(map(len, self.recoveries.values()))


def calm(place: Place, file: str) -> None:
    """The study without a fault; raises StuckError where it fails."""
    if place.hpo("launch", "-s", file, "-w", str(LAUNCHERS * WORKERS)).wait():
        raise StuckError(place.said())


class Storm:
    """One study and those who work on it."""

    def __init__(self, place: Place, kind: str, name: str) -> None:
        self.place, self.name, self.file = place, name, str(place.study(kind, name))
        self.crew: list[subprocess.Popen[bytes]] = []
        self.evaluations = 0

    def run(self, chance: random.Random, log: Log) -> None:
        """From nothing to complete, with faults all the way; raises StuckError."""
        scene = Scene(self.place, chance, [])
        try:
            for _ in self._moments(chance):
                fault, struck = choose(chance), time.monotonic()
                if FAULTS[fault][1](scene):
                    self._recover()
                    log.recoveries[fault].append(time.monotonic() - struck)
        finally:
            settle(scene)
        for launcher in self.crew:
            launcher.wait(120)
        for ending, count in self._rows(_ENDINGS):
            log.endings[ending] += count

    def _moments(self, chance: random.Random) -> Iterator[None]:
        """Yields at random moments, now and then at once, until the study is complete."""
        while True:
            until = time.monotonic() + (0.0 if chance.random() < 0.2 else chance.uniform(0.5, 6.0))
            while time.monotonic() < until:
                if self._is_complete():
                    return
                self._pass_time()
            self._news()
            yield

    def _recover(self) -> None:
        """Wait for the next evaluation on record, or the study's end."""
        until = time.monotonic() + LONGEST_SECONDS
        while not self._news() and not self._is_complete():
            if time.monotonic() > until:
                raise StuckError(f"{self.name}: no evaluation in {LONGEST_SECONDS:.0f} s\n{self.place.said()}")
            self._pass_time()

    def _pass_time(self) -> None:
        """A launcher that ended is started again, as a person or a service manager would."""
        self.crew[:] = [launcher for launcher in self.crew if launcher.poll() is None]
        while len(self.crew) < LAUNCHERS:
            self.crew.append(self.place.hpo("launch", "-s", self.file, "-w", str(WORKERS)))
        time.sleep(POLL_SECONDS)

    def _news(self) -> bool:
        """Whether evaluations came on record since the last time."""
        before = self.evaluations
        self.evaluations = max(before, *(row[0] for row in self._rows(_EVALUATIONS)), 0)
        return self.evaluations > before

    def _is_complete(self) -> bool:
        return self._rows(_STATE) == [("complete",)]

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the database answers; nothing while it is down or has no such study."""
        try:
            return self.place.rows(statement, self.name)
        except psycopg2.Error:
            return []
