"""The comparison of `bench.full` on a CUDA device: seconds on the wall, in fp32 and in what is quickest there.

Afterwards whole studies by one, two and four workers that share the device: once as it is and once more under NVIDIA's
Multi-Process Service (`nvidia-cuda-mps-control -d`, with another --keep), the table says what sharing gains.
Run: python -m bench.gpu [--rows 1000 --valid 500 --epochs 3 --seeds 3] [--minutes 20] [--report]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import full, standing, texts
from bench.peers import Contest
from bench.standing import Found

NAMES = {
    "trainer": "`Trainer.hyperparameter_search`",
    "trainer bf16": "the same with `bf16=True`",
    "plain": "Optuna and a loop in torch",
    "hpo": "hpo",
    "hpo auto": "hpo, `precision: auto`",
}
RATIOS = (("trainer", "hpo"), ("trainer bf16", "hpo auto"))
WORKERS = (1, 2, 4)


def pieces(
    contest: Contest, seeds: int, runs: Mapping[str, full.Contender]
) -> Iterator[tuple[dict[str, Any], full.Measure]]:
    """Every contender at every point, then whole studies."""
    for seed in range(seeds):
        yield from full.trials(contest, seed, runs)
    yield from full.whole(contest, 1, WORKERS)


def tables(found: Found, contest: Contest, device: str) -> str:
    """Markdown."""
    parts = (
        standing.heading(found, contest),
        _times(found, device),
        standing.results(found, NAMES),
        standing.whole(found),
    )
    return "\n\n".join("\n".join(part) for part in parts)


def _times(found: Found, device: str) -> Iterator[str]:
    yield (
        f"| s of training and evaluation on {device} | " + " | ".join(f"frozen {each}" for each in found.depths) + " |"
    )
    yield "|---|" + "---|" * len(found.depths)
    for what, name in NAMES.items():
        yield _line(name, [found.cpu(what, depth) for depth in found.depths])
    yield _line("hpo, all of a trial", [found.cpu("hpo", depth, "seconds") for depth in found.depths])
    for theirs, ours in RATIOS:
        pairs = [(found.cpu(theirs, depth), found.cpu(ours, depth)) for depth in found.depths]
        yield _line(
            f"{NAMES[theirs]} / {NAMES[ours]}", [one / other if one and other else None for one, other in pairs]
        )


def _line(name: str, cells: list[float | None]) -> str:
    return f"| {name} | " + " | ".join("" if cell is None else f"{cell:.2f}" for cell in cells) + " |"


def main() -> None:
    """Measure what is left, then print the tables."""
    options = full.arguments(__doc__, "hpo-bench-gpu.jsonl").parse_args()
    if not (options.report or torch.cuda.is_available()):
        sys.exit("there is no CUDA device here; bench.full compares on a CPU")
    until = time.monotonic() + (-1 if options.report else 60 * options.minutes)
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        path = texts.joined(Path(folder) / "rows.csv", options.rows + options.valid, options.headlines)
        contest = Contest(path, options.rows, options.valid, options.epochs, Path(folder), "cuda")
        found = full.measure(contest, NAMES, partial(pieces, contest, options.seeds), options.keep, until)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CUDA device"
    print(tables(Found(found), contest, device))


if __name__ == "__main__":
    main()
