"""Extractive question answering on real questions: pretrained against random weights, and against no training.

    python bench/questions.py XQUAD.json

The file has the format of SQuAD, such as XQuAD's English part. All questions on one text stand in one split; the model
trains on few, its first four blocks frozen, and the test questions are scored at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from objectives import settings, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation
from objectives.host import Host

SPLIT = {"train": 300, "valid": 100, "test": 200}
DATA = {"text": "question", "pair": "context", "label": "answers", "group": "context", "score": "test", "split": SPLIT}
TRAINING = {"precision": "fp32", "seed": 0, "batch_size": 16, "warmup_ratio": 0.1, "learning_rate": 5e-4}
FROZEN = {"frozen_layers": 4}
TRIALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no training: pretrained blocks, a head of random weights": (FROZEN, {"epochs": 1, "learning_rate": 1e-12}),
    "random weights, 2 epochs": ({**FROZEN, "pretrained": False}, {"epochs": 2}),
    "pretrained, 2 epochs": (FROZEN, {"epochs": 2}),
    "pretrained, 8 epochs": (FROZEN, {"epochs": 8}),
}
"""Settings of the model and of the training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    print("| what | exact match | F1 | validation loss | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, training) in TRIALS.items():
            began = time.monotonic()
            last = _run(file, model, training, Path(folder))
            scores = (last.metrics[metric] for metric in ("test_exact_match", "test_f1", "val_loss"))
            shown = " | ".join(f"{score:.3f}" for score in scores)
            print(f"| {name} | {shown} | {time.monotonic() - began:.0f} |", flush=True)


def _run(file: Path, model: dict[str, Any], training: dict[str, Any], folder: Path) -> Evaluation:
    """The last evaluation of a trial."""
    tree = {
        "task": {"kind": "question-answering", "stride": 32},
        "model": model,
        "data": {**DATA, "path": str(file), "max_length": 160},
        "training": {**TRAINING, **training},
    }
    seen: list[Evaluation] = []
    trial.run(settings.parse(tree), seen.append, host=Host("cpu", cache=Cache(folder, trials=10)))
    return seen[-1]


if __name__ == "__main__":
    main()
