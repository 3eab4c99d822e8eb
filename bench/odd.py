"""Odd labels: of labels that were flipped by hand, how many are found, and how many found ones were flipped.

Run: python -m bench.odd [--flipped 0.05] [--seeds 5] [FILE TEXT LABEL ...]
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from objectives import data, odd, settings

DATA = Path(__file__).parents[1] / "studies" / "data"
SHIPPED = [
    (DATA / "news.csv", "title", "category"),
    (DATA / "news_zh.csv", "标题", "类别"),
    (DATA / "messages.csv", "text", "label"),
    (DATA / "reviews.csv", "text", "label"),
]
TOP = 5


def flip(labels: Sequence[str], share: float, seed: int) -> tuple[list[str], set[int]]:
    """The labels with so many of them changed to another, and the rows whose label was."""
    draw, names, changed = random.Random(seed), sorted(set(labels)), list(labels)  # noqa: S311 - no secret
    rows = set(draw.sample(range(len(labels)), round(share * len(labels))))
    for row in sorted(rows):
        changed[row] = draw.choice([name for name in names if name != labels[row]])
    return changed, rows


def measure(file: Path, text: str, label: str, share: float, seed: int) -> tuple[int, int, int, int, int]:
    """Rows found, flipped ones among them, flipped ones, the first few found, flipped ones among these."""
    table = data.read(file)
    labels, flipped = flip(table.column(label), share, seed)
    texts = table.column(text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([(text, label), *zip(texts, labels, strict=True)])
        lines = data.read(path).lines or []
        wanted = {"task": "text-classification", "data": {"path": str(path), "text": text, "label": label}}
        wanted["data"] |= {"split": {"valid": 0.2, "test": 0}}  # type: ignore[operator]
        found = odd.find(settings.parse(wanted), seed)  # type: ignore[arg-type]
    places = {f"rows.csv:{lines[row]}" for row in flipped}
    hits = [row.where in places for row in found.odd]
    return len(hits), sum(hits), len(flipped), len(hits[:TOP]), sum(hits[:TOP])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--flipped", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("files", nargs="*", help="FILE TEXT LABEL, repeated; by default the shipped rows")
    options = parser.parse_args()
    given = options.files
    files = [(Path(given[i]), given[i + 1], given[i + 2]) for i in range(0, len(given), 3)] or SHIPPED
    print("| rows | found a time | precision | of the first five | recall |\n|---|---|---|---|---|")
    for file, text, label in files:
        runs = [measure(file, text, label, options.flipped, seed) for seed in range(options.seeds)]
        found, hits, flipped, shown, right = (sum(column) for column in zip(*runs, strict=True))
        head = f"| {file.name} | {mean(run[0] for run in runs):.1f} "
        print(f"{head}| {hits / max(found, 1):.2f} | {right / max(shown, 1):.2f} | {hits / flipped:.2f} |")


if __name__ == "__main__":
    main()
