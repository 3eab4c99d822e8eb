"""hpo beside transformers' hyperparameter_search and a loop in torch, on the same points and rows: time and results.

Each measurement is appended to a file as soon as it is there, and one that stands there is not made again: the run may
be cut at any time and goes on where it was. Contenders take turns at each point, so that a shared machine's drift hits
all of them. Run: python -m bench.full [--rows 1000 --valid 500 --epochs 3 --seeds 3] [--minutes 60] [--report]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch
import transformers

from bench import chart, ends, floor, standing, texts
from bench.machine import revision
from bench.peers import Contest, Point
from objectives.cache import Cache

DEPTHS = (0, 2, 4, 6)
REST = ((5e-5, 16, 0.0), (2e-4, 32, 0.1))
WORKERS = (1, 2)
Measure = Callable[[], dict[str, Any]]


def pieces(contest: Contest, seeds: int, cache: Cache) -> Iterator[tuple[dict[str, Any], Measure]]:
    """What is to be measured, each with the key that tells it from the others."""
    for seed in range(seeds):
        yield {"what": "fill", "seed": seed}, partial(_filled, contest, seed)
        for depth in DEPTHS:
            yield {"what": "gemm", "seed": seed, "depth": depth}, lambda: {"rate": floor.gemm_rate()}
            for rest in REST:
                point = Point(depth, *rest, seed)
                for what, run in (
                    ("trainer", partial(contest.trainer, point)),
                    ("plain", partial(contest.plain, point)),
                    ("hpo", partial(contest.hpo, point, cache)),
                    ("hpo auto", partial(contest.hpo, point, cache, "auto")),
                ):
                    yield {"what": what, **point._asdict()}, lambda run=run: asdict(run())  # type: ignore[misc]
        for workers in WORKERS:
            yield (
                {"what": "ends", "seed": seed, "workers": workers},
                lambda workers=workers: asdict(ends.ran(contest, workers)),  # type: ignore[misc]
            )


def measure(contest: Contest, seeds: int, kept: Path, until: float) -> list[dict[str, Any]]:
    """All pieces that stand in the file or that there is time for."""
    setting = {"rows": contest.train, "valid": contest.valid, "epochs": contest.epochs}
    lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
    found = [row for row in map(json.loads, lines) if row["setting"] == setting]
    done = [row["key"] for row in found]
    cache = Cache(contest.scratch / "cache", depths=DEPTHS[1:], trials=len(DEPTHS) * len(REST))
    left = [(key, run) for key, run in pieces(contest, seeds, cache) if key not in done]
    if left:
        _warm(contest, cache)
    for key, run in left:
        if time.monotonic() > until:
            break
        row = {"key": key, "setting": setting, "revision": revision(), "when": f"{datetime.now(UTC):%F %R}"}
        found.append({**row, **run()})
        print(json.dumps(found[-1]), flush=True)
        with kept.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(found[-1]) + "\n")
    return found


def _filled(contest: Contest, seed: int) -> dict[str, Any]:
    """The states of all wanted depths, computed and written in the first trial of a study."""
    with tempfile.TemporaryDirectory(dir=contest.scratch) as folder:
        cache = Cache(Path(folder), depths=DEPTHS[1:], trials=len(DEPTHS) * len(REST))
        return asdict(contest.hpo(Point(2, *REST[0], seed), cache))


def _warm(contest: Contest, cache: Cache) -> None:
    """Each contender once, unmeasured, on few rows: what torch sets up once is nobody's; then what a cache holds."""
    small = Contest(contest.path, min(64, contest.train), min(32, contest.valid), 1, contest.scratch)
    point = Point(6, *REST[0])
    small.trainer(point)
    small.plain(point)
    for precision in ("fp32", "auto"):
        contest.hpo(point, cache, precision)


def main() -> None:
    """Measure what is left, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--valid", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no measurement after so many")
    parser.add_argument("--headlines", type=Path, default=texts.HEADLINES, help="a table with title and category")
    parser.add_argument("--keep", type=Path, default=Path(__file__).with_name("full.jsonl"))
    parser.add_argument("--chart", type=Path, help="a picture of it, PNG or SVG")
    parser.add_argument("--report", action="store_true", help="print the tables of what stands there, measure nothing")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    until = time.monotonic() + (-1 if options.report else 60 * options.minutes)
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        path = texts.joined(Path(folder) / "rows.csv", options.rows + options.valid, options.headlines)
        contest = Contest(path, options.rows, options.valid, options.epochs, Path(folder))
        found = measure(contest, options.seeds, options.keep, until)
        print(standing.tables(found, contest))
        if options.chart:
            chart.draw(standing.Found(found), options.chart)


if __name__ == "__main__":
    main()
