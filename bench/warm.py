"""What a worker spends beside training: from its start to its first step, and in each later trial; CPU seconds.

Each worker is a process of its own with one thread. Its trials are of MiniLM, with all blocks frozen and with none, on
200 rows of the news with 100 to validate. Run: python -m bench.warm [--trials 6] [--times 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import described
from bench.server import environment, private
from hpo import config as configuration
from hpo import worker
from hpo.attempts import Worker
from hpo.config import Config
from hpo.running import RunningTrial, Study
from hpo.spec import StudySpec, settings_for
from hpo.store import Store, open_store
from objectives import trial

ROOT = Path(__file__).parents[1]
DEPTHS = (6, 0)
PHASES = {
    "claim": "claim",
    "begin": "begin: parameters are drawn",
    "run": "before the model: garbage, rows",
    "load": "load the model",
    "loaded": "after it: states of frozen blocks, optimizer",
    "teach": "train, evaluate, report",
    "finish": "finish",
}
"""What a mark begins, which lasts until the next; all up to `teach` is what stands before the first step."""
Mark = tuple[str, float]


def watch(config: Config, study: str) -> list[Mark]:
    """Work on a study, and the CPU seconds of this process at each mark."""
    marks: list[Mark] = []

    def note(name: str) -> None:
        marks.append((name, time.process_time()))

    with trial.importing():
        from objectives import trainer, transfer
    for owner, name, mark in (
        (Store, "claim", "claim"),
        (Study, "begin", "begin"),
        (transfer, "run", "run"),
        (transfer, "load", "load"),
        (trainer.School, "teach", "teach"),
        (RunningTrial, "finish", "finish"),
    ):
        _marked(owner, name, note, mark, "loaded" if mark == "load" else None)
    worker.run(config, study, Worker(study, "here", os.getpid(), config.grace), threading.Event())
    return marks


def _marked(owner: Any, name: str, note: Callable[[str], None], before: str, after: str | None) -> None:
    whole = getattr(owner, name)

    def noting(*args: Any, **named: Any) -> Any:
        note(before)
        found = whole(*args, **named)
        if after:
            note(after)
        return found

    setattr(owner, name, noting)


def by_trial(marks: list[Mark]) -> Iterator[dict[str, float]]:
    """The CPU seconds of each phase of each trial, and `start`, those of the process up to its first step."""
    trials: list[dict[str, float]] = []
    for (name, since), (_, until) in pairwise(marks):
        if name == "claim":
            trials.append(dict.fromkeys(PHASES, 0.0))
        if name == "teach":
            trials[-1].setdefault("start", since)
        trials[-1][name] += until - since
    return iter(trials)


def measure(config: Config, depth: int, trials: int) -> list[dict[str, float]]:
    """The phases of each trial of a new worker."""
    study = f"warm-{depth}-{time.monotonic_ns()}"
    with open_store(config) as store:
        spec = _spec(study, depth, trials)
        store.create(spec, fingerprint=trial.prepare(settings_for(spec, {}, None)))
    answer = subprocess.run(
        [sys.executable, "-m", "bench.warm", "--watch", study],
        cwd=ROOT,
        env=environment(config),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return list(by_trial(json.loads(answer.stdout)))


def _spec(study: str, depth: int, trials: int) -> StudySpec:
    rows = {"path": "data/news.csv", "text": "title", "label": "category"}
    return StudySpec.from_dict(
        {
            "study": study,
            "folder": str(ROOT / "studies"),
            "objective": {
                "task": "text-classification",
                "model": {"name": "minilm", "frozen_layers": depth},
                "data": {**rows, "split": {"train": 200, "valid": 100, "test": 0}},
                "training": {"epochs": 1},
            },
            "search": {"training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
            "sampler": "tpe",
            "pruner": "none",
            "trials": trials,
        }
    )


def _print(depth: int, workers: list[list[dict[str, float]]]) -> None:
    first = [trials[0] for trials in workers]
    later = [phases for trials in workers for phases in trials[1:]]
    print(f"\n| {depth} blocks frozen | first trial | later trials |\n|---|---|---|")
    for name, said in PHASES.items():
        print(f"| {said} | {_said(phases[name] for phases in first)} | {_said(phases[name] for phases in later)} |")
    print(f"| claim to first step | {_said(map(_before, first))} | {_said(map(_before, later))} |")
    print(f"| process start to first step | {_said(phases['start'] for phases in first)} | |")


def _before(phases: Mapping[str, float]) -> float:
    return sum(phases[name] for name in PHASES if name not in ("teach", "finish"))


def _said(seconds: Any) -> str:
    found = sorted(seconds)
    return f"{median(found):.3f} ({found[0]:.3f}-{found[-1]:.3f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--watch", help=argparse.SUPPRESS)  # what this program starts itself with
    options = parser.parse_args()
    if options.watch:
        print(json.dumps(watch(configuration.load(), options.watch)))
        return
    with private() as server:
        print(described(server.server.data))
        for depth in DEPTHS:
            measure(server.config, depth, options.trials)  # fills the caches
            _print(depth, [measure(server.config, depth, options.trials) for _ in range(options.times)])


if __name__ == "__main__":
    main()
