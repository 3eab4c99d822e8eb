"""What each pruner would have cost and saved on curves of trials that were trained to their end.

`--record` trains them: shipped studies, random points, no pruning, real workers. The replay takes the trials in many
random orders on several workers of equal speed, asks the product's own pruners at each evaluation, and compares the
best trial that was left to finish with the best of all. Run: python -m bench.pruners [--record bert-news spam]
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import optuna
from optuna.trial import TrialState

from bench.server import environment, private
from hpo import search
from hpo.report import read
from hpo.spec import StudySpec

CURVES = Path(__file__).parent / "curves"
CANDIDATES: dict[str, Any] = {
    "none": "none",
    "asha": "asha",
    "asha, factor 3": {"kind": "asha", "reduction_factor": 3},
    "asha, factor 4": {"kind": "asha", "reduction_factor": 4},
    "asha, first rung at 2 epochs": {"kind": "asha", "min_resource": 2},
    "asha, bootstrap 4": {"kind": "asha", "bootstrap_count": 4},
    "hyperband": "hyperband",
    "median": "median",
    "median, after 1 epoch": {"kind": "median", "n_warmup_steps": 1},
    "percentile 25": {"kind": "percentile", "percentile": 25.0},
    "percentile 75": {"kind": "percentile", "percentile": 75.0},
    "patient median": {"kind": "patient", "patience": 0.5, "wrapped": {"kind": "median"}},
}


@dataclass(frozen=True)
class Recording:
    """A study's curves: the metric after each evaluation, one list a trial, best ones as the direction says."""

    study: str
    metric: str
    epochs: int
    evaluations_per_epoch: int
    curves: Sequence[Sequence[float]]

    def spec(self, pruner: Any) -> StudySpec:
        """A study of such trials with this pruner."""
        simulated = {"evaluations": self.epochs * self.evaluations_per_epoch}
        # A simulated objective has one evaluation an epoch: options in epochs are scaled by hand.
        return StudySpec.from_dict(
            {
                "study": self.study,
                "objective": {"simulated": simulated},
                "search": {"simulated.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}},
                "pruner": _scaled(pruner, self.evaluations_per_epoch),
                "metric": self.metric,
                "trials": len(self.curves),
            }
        )


class Replayed(NamedTuple):
    """`regret`: how much worse the best finished trial is than the best of all, in units of the metric; `kept`: whether
    that one finished; `share`: of all evaluations, those that ran."""

    regret: float
    kept: bool
    share: float


def replay(recording: Recording, pruner: Any, order: Sequence[int], workers: int) -> Replayed:
    """Run the trials in this order on so many workers, each evaluation a step of time."""
    spec = recording.spec(pruner)
    sign = 1 if spec.direction == "minimize" else -1
    study = optuna.create_study(direction=spec.direction, pruner=search.pruner(spec))
    waiting, busy, ran = iter(order), [], 0
    for worker in range(workers):
        _take(study, waiting, busy, 0, worker)
    while busy:
        now, worker, trial, number, step = heapq.heappop(busy)
        value, step, ran = recording.curves[number][step], step + 1, ran + 1
        trial.report(value, step)
        if step == len(recording.curves[number]):
            study.tell(trial, sign * min(sign * each for each in recording.curves[number]))
        elif trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
        else:
            heapq.heappush(busy, (now + 1, worker, trial, number, step))
            continue
        _take(study, waiting, busy, now, worker)
    best = min(sign * value for curve in recording.curves for value in curve)
    found = min(
        (sign * trial.value for trial in study.trials if trial.state is TrialState.COMPLETE), default=float("inf")
    )
    return Replayed(found - best, found == best, ran / sum(map(len, recording.curves)))


def _take(study: optuna.Study, waiting: Iterator[int], busy: list[Any], now: int, worker: int) -> None:
    number = next(waiting, None)
    if number is not None:
        heapq.heappush(busy, (now + 1, worker, study.ask(), number, 0))


def _scaled(pruner: Any, evaluations_per_epoch: int) -> Any:
    if not isinstance(pruner, dict):
        pruner = {"kind": pruner}
    defaults = {"asha": {"min_resource": 1}, "hyperband": {"min_resource": 1}}.get(pruner["kind"], {})
    in_epochs = ("min_resource", "n_warmup_steps", "patience")
    merged = {**defaults, **pruner}
    scaled = {name: value * evaluations_per_epoch if name in in_epochs else value for name, value in merged.items()}
    return {name: int(value) if name in in_epochs else value for name, value in scaled.items()}


def record(study: str, trials: int, epochs: int, evaluations: int) -> Recording:
    """Train a shipped study's trials at random points to their end, and keep their curves."""
    chosen = {
        "sampler": "random",
        "pruner": "none",
        "trials": trials,
        "training.epochs": epochs,
        "training.evaluations_per_epoch": evaluations,
        "enqueue_defaults": "false",
    }
    words = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "hpo", "launch", "-s", study, "-w", "2", *words]
    with private() as server:
        subprocess.run(command, env=environment(server.config), check=True)
        with read(server.config) as report:
            metric = report.study(study)["metric"]
            rows = report.curves(study)
    curves: dict[int, list[float]] = {}
    for row in rows:
        curves.setdefault(row["number"], []).append(row["value"])
    return Recording(study, metric, epochs, evaluations, list(curves.values()))


def table(recording: Recording, orders: int, workers: int) -> Iterator[str]:
    """A line for each candidate: means over the orders, the same for all."""
    chance = random.Random(0)  # noqa: S311 - no secret
    numbers = list(range(len(recording.curves)))
    drawn = [chance.sample(numbers, len(numbers)) for _ in range(orders)]
    yield f"| {recording.study}: {len(numbers)} trials, {recording.metric} | best is kept | regret | evaluations run |"
    yield "|---|---|---|---|"
    for name, pruner in CANDIDATES.items():
        found = [replay(recording, pruner, order, workers) for order in drawn]
        kept, regret = mean(each.kept for each in found), mean(each.regret for each in found)
        yield f"| {name} | {kept:.0%} | {regret:.4f} | {mean(each.share for each in found):.0%} |"


def main() -> None:
    """Record what is asked for, then replay all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", nargs="+", default=[], metavar="STUDY")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=2, help="an epoch")
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    CURVES.mkdir(exist_ok=True)
    for study in options.record:
        found = record(study, options.trials, options.epochs, options.evaluations)
        (CURVES / f"{study}.json").write_text(json.dumps(vars(found), indent=1) + "\n", encoding="utf-8")
    for path in sorted(CURVES.glob("*.json")):
        print("\n".join(table(Recording(**json.loads(path.read_text("utf-8"))), options.orders, options.workers)), "\n")


if __name__ == "__main__":
    main()
