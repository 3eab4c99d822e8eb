"""What learns, by how many rows there are: the shipped study `strategies` on real rows, as one table.

    python -m bench.strategies FOLDER --page docs/results.md

FOLDER holds the files that SUBJECTS name. For each the study is launched in the database of this user, as
`strategies-NAME`, with several seeds; where it was cut off, the same command goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import hpo
from bench import page

ROWS = (100, 400, 1600)
HELD_OUT = 500
ADDRESSES = ("training.epochs", "model.frozen_layers", "model.learn", "model.adapter")
"""What tells the points of the study apart, but for their learning rates."""
Trial = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """Rows of so many classes, all equally frequent in what is trained on."""

    name: str
    file: str
    classes: int
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def study(self) -> str:
        """Its name in the database."""
        return f"strategies-{self.name}"

    def overrides(self, folder: Path, seeds: int) -> dict[str, Any]:
        """What differs from the shipped study, by address."""
        return {
            "data.path": (folder / self.file).absolute(),
            **{f"data.{name}": column for name, column in self.columns.items()},
            "data.split.valid": HELD_OUT,
            "data.split.test": HELD_OUT,
            "search.data.shots": [rows // self.classes for rows in ROWS],
            "search.training.seed": list(range(seeds)),
        }


SUBJECTS = (
    Subject("headlines", "news/headlines.tsv", 4),
    Subject("sentences", "sentiment/sentences.tsv", 2, {"text": "text", "label": "label"}),
)
POINTS = {
    "zero training": (0, 0, "all", "none"),
    "feature extraction (`frozen_layers: all`)": (4, "all", "all", "none"),
    "`frozen_layers: 3`": (4, 3, "all", "none"),
    "BitFit (`learn: biases`)": (4, 0, "biases", "none"),
    "LoRA, rank 8, queries and values": (4, 0, "all", "lora"),
    "full fine-tuning": (4, 0, "all", "none"),
}
"""How the page calls a point of the study, by its values at ADDRESSES."""


def launch(subject: Subject, folder: Path, seeds: int, workers: int) -> list[Trial]:
    """The study's trials, all of them complete; raises CalledProcessError where it could not be run."""
    given = subject.overrides(folder, seeds).items()
    command = [sys.executable, "-m", "hpo", "launch", "-s", "strategies", "--as", subject.study, "-w", str(workers)]
    subprocess.run([*command, *(word for one in given for word in ("--set", "=".join(map(str, one))))], check=True)
    with hpo.open_study(subject.study) as study:
        return study.trials


def table(found: Mapping[Subject, Sequence[Trial]]) -> str:
    """Markdown: a line for each point, a column for each number of rows of each subject."""
    headings = [f"{subject.name}: {rows:,}" for subject in found for rows in ROWS]
    lines = [f"| | learning rate | numbers that learn | {' | '.join(headings)} |", "|" + "---|" * (3 + len(headings))]
    for name, point in POINTS.items():
        cells, rates, learning = [], set(), list[int]()
        for subject, trials in found.items():
            mine = [trial for trial in trials if tuple(trial["params"][address] for address in ADDRESSES) == point]
            rates |= {trial["params"]["training.learning_rate"] for trial in mine}
            learning += [trial["trainable_parameters"] for trial in mine]
            for rows in ROWS:
                cells.append(_cell([one for one in mine if one["params"]["data.shots"] == rows // subject.classes]))
        rate = f"{rates.pop():g}" if point[0] else ""
        numbers = f"{learning[0]:,}" if point[0] else "0"
        lines.append(f"| {name} | {rate} | {numbers} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(trials: Sequence[Trial]) -> str:
    """Means over the seeds of the loss and the accuracy at the best step, and the accuracy's deviation."""
    losses = [trial["value"] for trial in trials]
    shares = [trial["metrics"]["accuracy"] for trial in trials]
    spread = f" ± {stdev(shares):.3f}" if len(shares) > 1 else ""
    return f"{mean(losses):.3f} / {mean(shares):.3f}{spread}"


def main() -> None:
    """Launch what is left, then print the table, or put it into its section of a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path, help="the page whose section is to be written anew")
    options = parser.parse_args()
    found = {
        subject: launch(subject, options.folder, options.seeds, options.workers)
        for subject in SUBJECTS
        if (options.folder / subject.file).exists()
    }
    made = table(found)
    print(made)
    if options.page:
        page.put(options.page, "What learns", made)


if __name__ == "__main__":
    main()
