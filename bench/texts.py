"""Rows of about 45 tokens: headlines of one category, three to a row."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from pathlib import Path

HEADLINES = Path(__file__).parents[1] / "studies" / "data" / "news.csv"


def joined(path: Path, rows: int, headlines: Path = HEADLINES) -> Path:
    """Write so many rows with the columns text and label, no two alike, and return the path.

    `headlines` is a table with the columns title and category, separated by tabs where its name ends in `.tsv`.
    """
    chance, by_category = random.Random(0), defaultdict(list)  # noqa: S311 - no secret
    for title, category in _read(headlines):
        by_category[category].append(title)
    categories, seen = sorted(by_category), set()
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        while len(seen) < rows:
            category = categories[len(seen) % len(categories)]
            three = tuple(chance.sample(by_category[category], 3))
            if three not in seen:
                seen.add(three)
                writer.writerow([". ".join(three), category])
    return path


def _read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        return [(row["title"], row["category"]) for row in table]
