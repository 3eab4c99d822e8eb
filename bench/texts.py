"""Rows of about 45 tokens: headlines of one category, three to a row."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from itertools import islice
from pathlib import Path

HEADLINES = Path(__file__).parents[1] / "studies" / "data" / "news.csv"


def joined(path: Path, rows: int, headlines: Path = HEADLINES) -> Path:
    """Write so many rows with the columns text and label, no two alike, and return the path.

    `headlines` is a table with the columns title and category, separated by tabs where its name ends in `.tsv`. None of
    them stands in two rows, unless there are too few.
    """
    found, chance, table = dict[tuple[str, ...], str](), random.Random(0), _read(headlines)  # noqa: S311 - no secret
    while len(found) < rows:
        found.update(_threes(table, chance))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows([". ".join(three), category] for three, category in islice(found.items(), rows))
    return path


def _threes(table: list[tuple[str, str]], chance: random.Random) -> list[tuple[tuple[str, ...], str]]:
    """Each headline once, three of one category together, in any order."""
    by_category = defaultdict(list)
    for title, category in chance.sample(table, len(table)):
        by_category[category].append(title)
    threes = [
        (three, category)
        for category, titles in by_category.items()
        for three in zip(*[iter(titles)] * 3, strict=False)
    ]
    return chance.sample(threes, len(threes))


def _read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        return [(row["title"], row["category"]) for row in table]
