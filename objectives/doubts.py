"""What in the labels looks like a mistake and may be none: a line each, for a person to judge."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from objectives.data import Splits

MANY = 100
"""More classes than these are doubted."""


def of_labels(splits: Splits, label: str) -> Iterator[str]:
    """Labels in more than one spelling, and more classes than people mean as a rule."""
    labels = [*splits.train.column(label), *splits.valid.column(label)]
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in set(labels):
        spellings[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].add(name)
    for names in sorted(map(sorted, spellings.values())):
        if len(names) > 1:
            seen = f"{', '.join(map(repr, names))} are {len(names)} classes, though they differ in spelling alone"
            yield f"{label}: {seen}; if one is meant, write it in one way"
    if (many := len(set(labels))) > MANY:
        seen = f"{many} classes, {len(labels) / many:.1f} rows to train and validate on for each"
        yield f"{label}: {seen}; merge the small ones, or mend data.label if these are no classes"
