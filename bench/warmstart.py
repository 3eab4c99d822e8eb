"""What `warm_start` is worth: the best loss after so many trials, with it and without, on the shipped data sets.

Each data set is searched in turn after the two others have been: cold, and with their best points first. Both have the
same seeds, so that they differ in what the first trials are and in what follows from them.
Run: python -m bench.warmstart [--trials 8] [--seeds 3]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from statistics import mean

from bench.server import Private, environment, private
from hpo.report import read

STUDIES = ("bert-news", "sentiment", "spam")
QUICK = {"search.model.frozen_layers.low": 3, "training.evaluations_per_epoch": 1}
"""Frozen blocks are computed once, so that a trial takes seconds; both searches are the smaller for it."""

LOOKS = (1, 2, 3, 4, 6, 8, 12)
Curve = Sequence[float]


def searched(server: Private, study: str, name: str, trials: int, seed: int, warm: str) -> Curve:
    """The best validation loss after each trial of a shipped study, by one worker and without pruning."""
    chosen = {
        "study": name,
        "trials": trials,
        "seed": seed,
        "metric": "val_loss",
        "pruner": "none",
        "sampler": "tpe",
        "sampler.n_startup_trials": 4,
        "warm_start": warm,
        **QUICK,
    }
    words = [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
    hpo(server, "launch", "-s", study, "-w", "1", *words)
    with read(server.config) as report:
        values = [trial["value"] for trial in report.trials(name)]
    return [min(values[: number + 1]) for number in range(len(values))]


def hpo(server: Private, *words: str) -> None:
    """Run a command of hpo; raises RuntimeError with what it said where it fails."""
    command, where = [sys.executable, "-m", "hpo", *words], environment(server.config)
    said = subprocess.run(command, env=where, capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(said.stderr)


def compared(study: str, trials: int, seed: int) -> tuple[Curve, Curve]:
    """The curve of a study after the others were searched, cold and warm, in a database of their own."""
    with private() as server:
        for other in STUDIES:
            if other != study:
                searched(server, other, other, trials, seed, "off")
        cold = searched(server, study, "cold", trials, seed + 1000, "off")
        hpo(server, "delete", "-s", "cold", "-y")  # or the warm one would begin with its best
        return cold, searched(server, study, "warm", trials, seed + 1000, "auto")


def table(study: str, trials: int, seeds: int) -> Iterator[str]:
    """Means over the seeds after some numbers of trials."""
    curves = [compared(study, trials, seed) for seed in range(seeds)]
    looks = [look for look in LOOKS if look <= trials]
    yield f"| {study}: best val_loss after trials | " + " | ".join(map(str, looks)) + " |"
    yield "|---" * (len(looks) + 1) + "|"
    for name, which in (("without", 0), ("with", 1)):
        means = [mean(pair[which][look - 1] for pair in curves) for look in looks]
        yield f"| {name} | " + " | ".join(f"{value:.3f}" for value in means) + " |"


def main() -> None:
    """One table a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for study in STUDIES:
        print("\n".join(table(study, options.trials, options.seeds)), "\n", flush=True)


if __name__ == "__main__":
    main()
