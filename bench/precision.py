"""What bf16 changes in a trial beside fp32: its losses, its accuracy, its CPU seconds.

MiniLM on 400 of the shipped headlines, 266 to validate on, one thread. Seeds divide the rows and initialise
the head anew. With frozen blocks their states come from the cache, which a shorter trial has filled. Each measurement
is appended to a file at once, and one that stands there is not made again, so that a long run may be cut in pieces.
Run: python -m bench.precision [--frozen 0 2 4] [--seeds 3] [--epochs 2]
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch

from objectives import settings, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation
from objectives.host import Host

HEADLINES = Path(__file__).parents[1] / "studies" / "data" / "news.csv"
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Cell:
    """A trial: what it was of, the best of its evaluations, and its CPU seconds."""

    frozen: int
    seed: int
    precision: str
    epochs: int
    val_loss: float
    accuracy: float
    seconds: float


def tried(frozen: int, seed: int, precision: str, epochs: int, cache: Cache) -> Cell:
    """A trial with a cache that holds what its frozen blocks compute."""
    chosen = settings.parse(
        {
            "task": "text-classification",
            "model": {"name": "minilm", "frozen_layers": frozen},
            "data": {
                "path": str(HEADLINES),
                "text": "title",
                "label": "category",
                "max_length": 48,
                "split": {"train": 400, "valid": 266, "test": 0.2},
            },
            "training": {"epochs": epochs, "evaluations_per_epoch": 2, "learning_rate": 2e-4, "precision": precision},
        }
    )
    chosen, host = settings.replace(chosen, {"training.seed": seed}), Host("cpu", 1, cache=cache)
    if frozen:
        trial.run(settings.replace(chosen, {"training.epochs": 1}), lambda _: None, host=host)
    found: list[Evaluation] = []
    gc.collect()
    began = time.process_time()
    trial.run(chosen, found.append, host=host)
    seconds = time.process_time() - began
    best = min((evaluation.metrics for evaluation in found), key=lambda metrics: metrics["val_loss"])
    return Cell(frozen, seed, precision, epochs, best["val_loss"], best["accuracy"], seconds)


def measured(depths: list[int], seeds: int, epochs: int, kept: Path) -> list[Cell]:
    """All cells; the precisions take turns."""
    found = [Cell(**json.loads(line)) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    there = {(cell.frozen, cell.seed, cell.precision, cell.epochs) for cell in found}
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        cache = Cache(Path(folder), trials=100)
        tried(max(depths), 0, "fp32", 1, cache)  # imports are nobody's
        for what in ((frozen, seed, name, epochs) for seed in range(seeds) for frozen in depths for name in PRECISIONS):
            if what in there:
                continue
            found.append(tried(*what, cache))
            with kept.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(found[-1])) + "\n")
    return [cell for cell in found if cell.frozen in depths and cell.seed < seeds and cell.epochs == epochs]


def main() -> None:
    """Measure and print a row for each depth and seed, and one for the means of a depth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frozen", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "hpo-bench-precision.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = measured(options.frozen, options.seeds, options.epochs, options.keep)
    print("| frozen | seed | val_loss fp32 | bf16 | accuracy fp32 | bf16 | CPU s fp32 | bf16 |\n" + "|---" * 8 + "|")
    for frozen in options.frozen:
        for seed in range(options.seeds):
            print(
                f"| {frozen} | {seed} |", _row([cell for cell in cells if (cell.frozen, cell.seed) == (frozen, seed)])
            )
        print(f"| {frozen} | mean |", _row([cell for cell in cells if cell.frozen == frozen]))


def _row(cells: list[Cell]) -> str:
    """The means of each precision, measure by measure."""
    shown = []
    for measure, digits in (("val_loss", 4), ("accuracy", 4), ("seconds", 1)):
        for name in PRECISIONS:
            shown.append(f"{mean(getattr(cell, measure) for cell in cells if cell.precision == name):.{digits}f}")
    return " | ".join(shown) + " |"


if __name__ == "__main__":
    main()
