"""What checkpoints cost: their share of the time of a training of MiniLM, with all layers learning and with few.

Every training has two keepers: one that may save at every evaluation that is worth it, and one with a worker's default
of seconds between two. Run: python -m bench.checkpointing [--epochs 2]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import described
from bench.server import private
from hpo.config import Config
from hpo.keeping import SHARE, Keeper
from hpo.spec import load, settings_for
from objectives import trial
from objectives.evaluation import Evaluation
from objectives.host import Host

STUDY = Path(__file__).parents[1] / "studies" / "bert-news.yaml"
FROZEN = (0, 4)
EACH = 0.001  # seconds between two, for who may save at every evaluation


class Measured:
    """A keeper that counts what it saves, and the seconds that this takes."""

    def __init__(self, folder: str, seconds: float) -> None:
        self.keeper, self.every, self.folder = Keeper(folder, seconds), seconds, Path(folder)
        self.saved, self.bytes, self.seconds = 0, 0, 0.0

    def offer(self, evaluation: Evaluation) -> None:
        """Offer an evaluation to the keeper."""
        before, began = self._newest(), time.perf_counter()
        self.keeper.offer(evaluation)
        self.seconds += time.perf_counter() - began
        if self._newest() != before:
            self.saved += 1
            self.bytes = sum(path.stat().st_size for path in self.folder.iterdir())

    def _newest(self) -> set[Path]:
        return set(self.folder.iterdir()) if self.folder.exists() else set()


def measure(frozen: int, epochs: int, keepers: Sequence[Measured]) -> tuple[int, float]:
    """Train once with these keepers; the evaluations, and the seconds without what the keepers took."""
    spec = load(STUDY, [f"training.epochs={epochs}", "training.evaluations_per_epoch=4"])
    settings = settings_for(spec, {"model.frozen_layers": frozen, "training.learning_rate": 1e-4})
    began = time.perf_counter()

    def report(evaluation: Evaluation) -> None:
        for keeper in keepers:
            keeper.offer(evaluation)

    result = trial.run(settings, report, host=Host("cpu"))
    return result.steps, time.perf_counter() - began - sum(keeper.seconds for keeper in keepers)


def _rows(frozen: int, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keepers = [Measured(f"{folder}/{every}", every) for every in (EACH, Config.checkpoint)]
        evaluations, seconds = measure(frozen, epochs, keepers)
        for keeper in keepers:
            print(
                f"| {frozen} | {keeper.every:g} | {evaluations} | {seconds:.0f} | {keeper.saved} "
                f"| {keeper.bytes / 1e6:.0f} | {keeper.seconds:.2f} | {keeper.seconds / seconds:.1%} |"
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    with private() as server:
        print(described(server.server.data))
    print(f"\nat most {SHARE:.0%} by the policy\n")
    print("| frozen layers | seconds between two | evaluations | trains s | saved | MB each | costs s | share |")
    print("|---|---|---|---|---|---|---|---|")
    for frozen in FROZEN:
        _rows(frozen, options.epochs)


if __name__ == "__main__":
    main()
