"""Texts as TF-IDF of their words and runs of characters, and each one's nearest; scipy.sparse.

Runs of two and three characters make it work where no spaces stand between words, as in Chinese. A term counts
1 + ln(its times in the text), weighed by 1 + ln((1 + texts) / (1 + texts with it)); rows have length 1, so that a
product is a cosine. Terms of a single text are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse

READ = 500
"""Characters of a text that count."""

CHUNK = 256
"""Rows compared at a time: memory grows with the rows, not with their pairs."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""A run of letters and digits; of Chinese and Japanese each character."""
_NONE = -1.0


def vectors(known: Sequence[str], others: Sequence[str] = ()) -> tuple[Any, Any]:
    """Sparse rows of the known texts and of the others, weighed by what the known ones hold."""
    counts = [Counter(_terms(text)) for text in chain(known, others)]
    found = Counter(term for terms in counts[: len(known)] for term in terms)
    columns = {term: index for index, term in enumerate(term for term, texts in found.items() if texts > 1)}
    weights = np.array([1 + np.log((1 + len(known)) / (1 + found[term])) for term in columns], np.float32)
    rows = _rows(counts, columns).multiply(weights).tocsr()
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    rows = (sparse.diags_array(1 / np.maximum(lengths, 1e-9)) @ rows).tocsr()
    return rows[: len(known)], rows[len(known) :]


def nearest(rows: Any, known: Any, count: int, *, same: bool) -> tuple[Any, Any]:
    """Of each row the `count` nearest known rows, the nearest first: their indices and cosines, [rows, count] each.

    `same` says that the rows are the known ones: none is its own neighbour.
    """
    across, found = known.T.tocsr(), []
    for start in range(0, rows.shape[0], CHUNK):
        cosines = (rows[start : start + CHUNK] @ across).toarray()
        here = np.arange(len(cosines))
        if same:
            cosines[here, here + start] = _NONE
        chosen = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(cosines, chosen, 1), axis=1, kind="stable")
        chosen = np.take_along_axis(chosen, order, 1)
        found.append((chosen, np.take_along_axis(cosines, chosen, 1)))
    if not found:
        return np.zeros((0, count), int), np.zeros((0, count), np.float32)
    indices, cosines = (np.vstack(parts) for parts in zip(*found, strict=True))
    return indices, np.maximum(cosines, 0)


def _terms(text: str) -> Iterator[str]:
    plain = f" {' '.join(text.casefold().split())[:READ]} "
    yield from (f"{word} word" for word in _WORD.findall(plain))
    for size in (2, 3):
        yield from (plain[start : start + size] for start in range(len(plain) - size + 1))


def _rows(counts: Sequence[Counter[str]], columns: dict[str, int]) -> Any:
    indices: list[int] = []
    times: list[int] = []
    ends = [0]
    for terms in counts:
        known = [(columns[term], count) for term, count in terms.items() if term in columns]
        indices.extend(column for column, _ in known)
        times.extend(count for _, count in known)
        ends.append(len(indices))
    values = 1 + np.log(np.array(times, np.float32))
    return sparse.csr_array((values, np.array(indices, np.int32), np.array(ends)), shape=(len(counts), len(columns)))
