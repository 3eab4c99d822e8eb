"""What each piece of a trial's training saves: hpo's objective with all of them, and with one left out, in CPU seconds.

MiniLM on rows of three headlines each, in turns, one thread, fp32, dropout as the model has it.
Run: python -m bench.pieces [--rows 200] [--epochs 2] [--frozen 0 4] [--times 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import torch

from bench import texts
from bench.peers import Contest, Point
from objectives.cache import Cache
from objectives.switches import PIECES, Piece

MEASURED = [piece for piece in PIECES if piece not in ("attention_in_fp32", "asynchronous_steps")]  # bf16's, a GPU's
OF_STATES: tuple[Piece, ...] = ("onednn_products", "sdpa")  # without which the cache keeps states of their own
POINT = Point(0, 5e-5, 16, 0.0)


def without(contest: Contest, frozen: int, cache: Cache | None, *off: Piece) -> float:
    """CPU seconds of a trial without these pieces, and with the cache if any."""
    return contest.hpo(POINT._replace(frozen_layers=frozen), cache, off=off).seconds


def first(contest: Contest, frozen: int) -> float:
    """The same with a cache that is empty: a study's first trial."""
    with tempfile.TemporaryDirectory(dir=contest.scratch) as folder:
        return without(contest, frozen, Cache(Path(folder)))


def variants(contest: Contest, frozen: int, cache: Cache) -> Iterator[tuple[str, Callable[[], float]]]:
    """What is measured, by name."""
    yield "all pieces", partial(without, contest, frozen, cache)
    for piece in MEASURED:
        yield f"all but `{piece}`", partial(without, contest, frozen, cache, piece)
    if frozen:
        yield "all, first trial: the cache is built", partial(first, contest, frozen)
        yield "all, without a cache", partial(without, contest, frozen, None)
    yield "none, without a cache", partial(without, contest, frozen, None, *PIECES)


def measured(contest: Contest, depths: list[int], times: int) -> dict[tuple[str, int], list[float]]:
    """CPU seconds by variant and depth, after trials that fill the cache."""
    found: dict[tuple[str, int], list[float]] = {}
    cache = Cache(contest.scratch / "cache", trials=100)
    for turn in range(times):
        for frozen in depths:
            if not turn:  # warms up, and fills the cache
                for off in ((), *((piece,) for piece in OF_STATES if frozen)):
                    without(contest, frozen, cache, *off)
            for name, run in variants(contest, frozen, cache):
                found.setdefault((name, frozen), []).append(run())
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--frozen", type=int, nargs="+", default=[0, 4])
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        path = texts.joined(Path(folder) / "rows.csv", options.rows + 64)
        found = measured(Contest(path, options.rows, 64, options.epochs, Path(folder)), options.frozen, options.times)
    print("| CPU s |", " | ".join(f"frozen {depth}" for depth in options.frozen), "|")
    print("|---|" + "---|" * len(options.frozen))
    for name in dict.fromkeys(name for name, _ in found):
        cells = [found.get((name, depth), []) for depth in options.frozen]
        print(f"| {name} |", " | ".join(f"{median(cell):.2f}" if cell else "" for cell in cells), "|")


if __name__ == "__main__":
    main()
