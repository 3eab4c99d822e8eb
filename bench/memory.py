"""Resident memory of one worker over many trials.

Trials are real fine-tunings: of a tiny BERT with random weights, made here, and of MiniLM, on few rows. Run:
python -m bench.memory [--trials 50]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from sqlalchemy import text

from bench import tiny
from bench.machine import described
from bench.server import private
from hpo import worker
from hpo.attempts import Worker
from hpo.config import Config
from hpo.spec import StudySpec, settings_for
from hpo.store import Store, open_store
from objectives import sources, trial
from objectives.settings import Model

WORDS = ("cold", "warm", "slow", "quick", "old", "new", "soft", "loud", "small", "large", "early", "late")
SETTLED = 5  # trials until the allocator has seen every shape


def write_rows(folder: Path) -> None:
    """288 short texts of two classes."""
    rows = [
        f"the {one} {two} {what},{'yes' if one < two else 'no'}"
        for one in WORDS
        for two in WORDS
        for what in ("day", "night")
    ]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")


def write_tiny(folder: Path) -> str:
    """A BERT of three blocks, 32 wide, with MiniLM's tokenizer; its folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(sources.find(Model()).where)
    return str(tiny.save(folder / "tiny", tiny.bert(tokenizer, max_position_embeddings=64), tokenizer))


def spec(folder: Path, trials: int) -> StudySpec:
    """Tiny or MiniLM, batches of several sizes, some layers frozen."""
    return StudySpec.from_dict(
        {
            "study": "memory",
            "folder": str(folder),
            "objective": {
                "task": "text-classification",
                "data": {"path": "rows.csv", "split": {"train": 32, "valid": 16, "test": 0}, "max_length": 16},
                "training": {"epochs": 1},
            },
            "search": {
                "model.name": {"choices": ["minilm", write_tiny(folder)]},
                "model.frozen_layers": {"low": 0, "high": 3},
                "training.batch_size": {"choices": [4, 8, 16]},
                "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
            },
            "sampler": "tpe",
            "pruner": "asha",
            "trials": trials,
        }
    )


def resident() -> int:
    """Bytes of this process in memory now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@contextmanager
def counted(store: Store, seen: Callable[[int], None]) -> Iterator[None]:
    """Tell `seen` how many attempts have ended, each time there is one more, within the block."""
    over = threading.Event()

    def watch() -> None:
        last = 0
        while not over.wait(0.02):
            with store.engine.begin() as connection:
                ended = connection.scalar(text("SELECT count(*) FROM hpo.attempts WHERE ended IS NOT NULL")) or 0
            if ended > last:
                seen(last := ended)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(config: Config, trials: int) -> dict[int, int]:
    """The resident bytes after each trial of one worker, this process."""
    found: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as name, open_store(config) as store:
        folder = Path(name)
        write_rows(folder)
        chosen = spec(folder, trials)
        store.create(chosen, fingerprint=trial.prepare(settings_for(chosen, {}, None)))

        def seen(ended: int) -> None:
            found[ended] = resident()
            print(f"{ended} of {trials}: {found[ended] / 2**20:.0f} MB", file=sys.stderr)

        with counted(store, seen):
            worker.run(config, chosen.study, Worker("bench", "here", 1, config.grace), threading.Event())
        found[trials] = resident()
    return found


def _print(found: dict[int, int]) -> None:
    print("\n| after trial | resident MB |\n|---|---|")
    for ended in sorted(found):
        if ended in (1, SETTLED) or ended % 5 == 0:
            print(f"| {ended} | {found[ended] / 2**20:.0f} |")
    late = {ended: size for ended, size in found.items() if ended >= SETTLED}
    base = late[min(late)]
    print(f"\nfrom trial {min(late)} on: {min(late.values()) / base - 1:+.1%} to {max(late.values()) / base - 1:+.1%}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with private() as server:
        print(described(server.server.data))
        _print(measure(server.config, options.trials))


if __name__ == "__main__":
    main()
