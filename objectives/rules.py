"""What simple rules make of texts: the most frequent class, and TF-IDF with logistic regression; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives import logistic, tfidf

PENALTIES = (1.0, 0.1, 0.01)
"""On the weights of the logistic regression, the strongest first; the validation rows choose."""


@dataclass(frozen=True)
class Labelled:
    """Texts and the class of each."""

    texts: Sequence[str]
    labels: Sequence[str]

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled([*self.texts, *other.texts], [*self.labels, *other.labels])


def majority(train: Labelled, count: int) -> list[str]:
    """So many times the most frequent class of the training rows, the first by name of several."""
    counts = Counter(train.labels)
    return [min(counts, key=lambda name: (-counts[name], name))] * count


def by_words(train: Labelled, valid: Labelled, texts: Sequence[str], *, all_rows: bool = False) -> list[str]:
    """The class of each text by TF-IDF and multinomial logistic regression.

    The penalty is the one with the most validation rows right, the strongest of several. With `all_rows` the validation
    rows train, too, once it is chosen.
    """
    scores = {penalty: _right(_predicted(train, valid.texts, penalty), valid.labels) for penalty in PENALTIES}
    best = max(PENALTIES, key=lambda penalty: scores[penalty])
    return _predicted(train + valid if all_rows else train, texts, best)


def _predicted(train: Labelled, texts: Sequence[str], penalty: float) -> list[str]:
    names = sorted(set(train.labels))
    known, others = tfidf.vectors(train.texts, texts)
    places = np.array([names.index(label) for label in train.labels])
    return [names[place] for place in logistic.fit(known, places, len(names), penalty).predict(others)]


def _right(said: Sequence[str], labels: Sequence[str]) -> int:
    return sum(one == other for one, other in zip(said, labels, strict=True))
