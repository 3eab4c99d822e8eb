"""hpo beside transformers' hyperparameter_search and a loop in torch, on the same points and rows: time and results.

Each measurement is appended to a file as soon as it is there, and one that stands there is not made again: the run may
be cut at any time and goes on where it was. Contenders take turns at each point, so that a shared machine's drift hits
all of them. Run: python -m bench.full [--rows 1000 --valid 500 --epochs 3 --seeds 3] [--minutes 60] [--report]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from bench import chart, ends, floor, standing, texts
from bench.machine import revision
from bench.peers import Contest, Point
from hpo.launch.local import KEEP_MEMORY

DEPTHS = (0, 2, 4, 6)
REST = ((5e-5, 16, 0.0), (2e-4, 32, 0.1))
WORKERS = (1, 2)
GIVEN = ("path", "train", "valid", "epochs", "scratch", "device")
"""What a contender's process has to know of a contest."""
WARM = Point(6, *REST[0])
Measure = Callable[[], dict[str, Any]]
Pieces = Callable[[Mapping[str, "Contender"]], Iterable[tuple[dict[str, Any], Measure]]]


class Contender:
    """A process that makes trials of one contender; it starts with its first one."""

    def __init__(self, what: str, contest: Contest) -> None:
        self.what, self.contest = what, contest
        self._running: Any = None

    def __call__(self, point: Point, folder: Path | None = None) -> dict[str, Any]:
        """The outcome of a trial; `folder` is the cache's, that of the contest by default."""
        if self._running is None:
            self._start()
            self._ask(WARM, self.contest.scratch / "cache")  # what torch sets up once is nobody's
        return self._ask(point, folder or self.contest.scratch / "cache")

    def close(self) -> None:
        """End the process."""
        if self._running:
            self._running.communicate()

    def _start(self) -> None:
        ours = {"GLIBC_TUNABLES": KEEP_MEMORY} if self.what.startswith("hpo") else {}  # as `hpo launch` sets it
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **ours}
        self._running = subprocess.Popen(
            [sys.executable, "-m", "bench.peers"],
            env=environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._say({name: getattr(self.contest, name) for name in GIVEN})

    def _ask(self, point: Point, folder: Path) -> dict[str, Any]:
        self._say([self.what, str(folder), DEPTHS[1:], list(point)])
        answer = self._running.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.what} ended with {self._running.wait()} at {point}")
        return dict(json.loads(answer))

    def _say(self, what: Any) -> None:
        self._running.stdin.write(json.dumps(what, default=str) + "\n")
        self._running.stdin.flush()


def pieces(contest: Contest, seeds: int, runs: Mapping[str, Contender]) -> Iterator[tuple[dict[str, Any], Measure]]:
    """What is to be measured, each with the key that tells it from the others."""
    for seed in range(seeds):
        yield from trials(contest, seed, runs)
    yield from whole(contest, seeds, WORKERS)  # last: they want all cores, and nobody else on them


def trials(contest: Contest, seed: int, runs: Mapping[str, Contender]) -> Iterator[tuple[dict[str, Any], Measure]]:
    """Every contender at every point, by turns."""
    empty = contest.scratch / f"cache-{seed}"
    yield {"what": "fill", "seed": seed}, partial(runs["hpo"], Point(2, *REST[0], seed), empty)
    for depth in DEPTHS:
        if contest.device == "cpu":
            yield {"what": "gemm", "seed": seed, "depth": depth}, lambda: {"rate": floor.gemm_rate()}
        for rest in REST:
            point = Point(depth, *rest, seed)
            for what, run in runs.items():
                yield {"what": what, **point._asdict()}, partial(run, point)


def whole(contest: Contest, seeds: int, numbers: Sequence[int]) -> Iterator[tuple[dict[str, Any], Measure]]:
    """Studies from one end to the other, by so many workers."""
    for seed, workers in product(range(seeds), numbers):

        def ran(workers: int = workers) -> dict[str, Any]:
            return asdict(ends.ran(contest, workers))

        yield {"what": "ends", "seed": seed, "workers": workers}, ran


def measure(contest: Contest, names: Collection[str], of: Pieces, kept: Path, until: float) -> list[dict[str, Any]]:
    """All pieces of the contenders of these names that stand in the file or that there is time for."""
    digest = hashlib.sha256(contest.path.read_bytes()).hexdigest()[:8]
    setting = {"rows": contest.train, "valid": contest.valid, "epochs": contest.epochs, "texts": digest}
    lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
    found = [row for row in map(json.loads, lines) if row["setting"] == setting]
    done = [row["key"] for row in found]
    runs = {what: Contender(what, contest) for what in names}
    try:
        for key, run in of(runs):
            if key in done:
                continue
            if time.monotonic() > until:
                break
            row = {"key": key, "setting": setting, "revision": revision(), "when": f"{datetime.now(UTC):%F %R}"}
            found.append({**row, **run()})
            print(json.dumps(found[-1]), flush=True)
            with kept.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(found[-1]) + "\n")
    finally:
        for contender in runs.values():
            contender.close()
    return found


def arguments(about: str | None, keep: str) -> argparse.ArgumentParser:
    """What is compared, for how long, and where it is kept: by default in a file of that name for temporary things."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--valid", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no measurement after so many")
    parser.add_argument("--headlines", type=Path, default=texts.HEADLINES, help="a table with title and category")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / keep)
    parser.add_argument("--report", action="store_true", help="print the tables of what stands there, measure nothing")
    return parser


def main() -> None:
    """Measure what is left, then print the tables."""
    parser = arguments(__doc__, "hpo-bench-full.jsonl")
    parser.add_argument("--chart", type=Path, help="a picture of it, PNG or SVG")
    options = parser.parse_args()
    torch.set_num_threads(1)
    until = time.monotonic() + (-1 if options.report else 60 * options.minutes)
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        path = texts.joined(Path(folder) / "rows.csv", options.rows + options.valid, options.headlines)
        contest = Contest(path, options.rows, options.valid, options.epochs, Path(folder))
        found = measure(contest, standing.NAMES, partial(pieces, contest, options.seeds), options.keep, until)
        print(standing.tables(found, contest))
        if options.chart:
            chart.draw(standing.Found(found), options.chart)


if __name__ == "__main__":
    main()
