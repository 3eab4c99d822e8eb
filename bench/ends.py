"""A small grid from one end to the other: `hpo launch` with real workers, and where their time went."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.peers import Contest
from bench.server import Private, environment, private
from hpo.report import read

DEPTHS, RATES = (0, 2, 4, 6), (5e-5, 2e-4)
ARITHMETIC = ("train", "evaluate")


@dataclass(frozen=True)
class Ran:
    """`wall` seconds from the first claim to the last end; the share of the workers' time that computed nothing.

    Reading states, and waiting for those that another worker computes, is in that share.
    """

    trials: int
    wall: float
    idle_share: float


def ran(contest: Contest, workers: int) -> Ran:
    """Launch the grid of DEPTHS and RATES on so many workers of one thread each, in a home of its own.

    Where the contest is on a GPU they share it, and have the precision that is quickest there.
    """
    with private() as server:
        _launch(server, _study(contest), workers, "" if contest.device == "cpu" else "0")
        with read(server.config) as report:
            trials, attempts = report.trials("ends"), report.attempts("ends")
    assert {trial["state"] for trial in trials} == {"COMPLETE"}, trials  # noqa: S101
    spans = []
    for name in {attempt["worker"] for attempt in attempts}:
        mine = [attempt for attempt in attempts if attempt["worker"] == name]
        spans.append((min(each["started"] for each in mine), max(each["until"] for each in mine)))
    worked = sum(trial["seconds"].get(phase, 0.0) for trial in trials for phase in ARITHMETIC)
    worked += sum(trial["facts"].get("frozen", {}).get("seconds", 0.0) for trial in trials)
    held = sum((end - start).total_seconds() for start, end in spans)
    wall = (max(end for _, end in spans) - min(start for start, _ in spans)).total_seconds()
    return Ran(len(trials), wall, 1 - worked / held)


def _study(contest: Contest) -> Path:
    path = contest.scratch / "ends.yaml"
    written: dict[str, Any] = {
        "study": "ends",
        "objective": {
            "task": "text-classification",
            "model": "minilm",
            "data": {"path": str(contest.path), "split": {"train": contest.train, "valid": contest.valid, "test": 0}},
            "training": {"epochs": contest.epochs, "precision": "fp32" if contest.device == "cpu" else "auto"},
        },
        "search": {"model.frozen_layers": list(DEPTHS), "training.learning_rate": list(RATES)},
        "sampler": "grid",
        "pruner": "none",
    }
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    return path


def _launch(server: Private, study: Path, workers: int, devices: str) -> None:
    command = [sys.executable, "-m", "hpo", "launch", "-s", str(study), "-w", str(workers)]
    environ = {**environment(server.config), "CUDA_VISIBLE_DEVICES": devices}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(said.stderr)
