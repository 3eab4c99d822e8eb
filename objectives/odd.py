"""Rows whose label looks odd for their neighbours; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from objectives import kinds
from objectives.settings import Transfer
from objectives.splits import shuffled

if TYPE_CHECKING:
    from objectives.tables import Table

LIMIT = 4_000
"""Rows of a split that are compared; of more, a seeded sample."""

NEIGHBOURS = 15
"""Training rows that a row is compared with: those whose text is the most like its own."""

RIGHT = 0.9
"""Neighbours speak where those that agree as much are right for such a share of all rows."""

_MAJORITY = 0.6
_FEW = 30


@dataclass(frozen=True)
class OddRow:
    """A row that its neighbours contradict: `share` of them, by similarity, have the label `neighbours`."""

    split: str
    where: str
    label: str
    neighbours: str
    share: float
    text: str


@dataclass(frozen=True)
class Oddities:
    """Odd rows, the oddest first, among `looked` rows of `rows` to train and validate on.

    `share` is how much neighbours must agree to be heard; None where however much they agree they are not right often
    enough: then nothing is known of any label.
    """

    rows: int
    looked: int
    share: float | None
    odd: Sequence[OddRow]

    def plain(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def find(settings: Transfer, seed: int) -> Oddities:
    """The rows to train and validate on whose nearest training rows agree on another label; raises DataError.

    Neighbours vote with their similarity. How much they must agree follows from the rows: it is the least for which
    votes as clear are the row's own label in `RIGHT` of all cases. Rows of classes with too few training rows to be
    neighbours are not judged.
    """
    if not (kinds.has_classes(settings) and kinds.has_texts(settings)):
        return Oddities(0, 0, None, [])
    splits = kinds.load(settings.task, settings.data, seed, draw=settings.training.seed)
    whole = {"train": splits.train, "valid": splits.valid}
    tables = {name: _sample(table, seed, name) for name, table in whole.items()}
    votes = _votes(tables, settings)
    share = _threshold(votes)
    odd = [vote for vote in votes if share is not None and vote.share >= share and vote.winner != vote.label]
    odd.sort(key=lambda vote: (-vote.share, -vote.similarity))
    found = [
        OddRow(vote.split, table.where(vote.row), vote.label, vote.winner, vote.share, text)
        for vote in odd
        for table in [tables[vote.split]]
        for text in [kinds.texts(table, settings.data)[vote.row]]
    ]
    return Oddities(sum(map(len, whole.values())), sum(map(len, tables.values())), share, found)


@dataclass(frozen=True)
class _Vote:
    """What a row's neighbours say: the label with the most votes, its share, their mean similarity."""

    split: str
    row: int
    label: str
    winner: str
    share: float
    similarity: float


def _sample(table: Table, seed: int, name: str) -> Table:
    if len(table) <= LIMIT:
        return table
    return table.take(sorted(shuffled(len(table), "odd", name, seed)[:LIMIT]))


def _votes(tables: Mapping[str, Table], settings: Transfer) -> list[_Vote]:
    """The votes about all rows of classes that are large enough."""
    from objectives import tfidf

    texts = {name: kinds.texts(table, settings.data) for name, table in tables.items()}
    labels = {name: table.column(settings.data.label) for name, table in tables.items()}
    counts = Counter(labels["train"])
    if len(texts["train"]) <= NEIGHBOURS:
        return []
    train, valid = tfidf.vectors(texts["train"], texts["valid"])
    found = []
    for name, rows in (("train", train), ("valid", valid)):
        indices, cosines = tfidf.nearest(rows, train, NEIGHBOURS, same=name == "train")
        for row, label in enumerate(labels[name]):
            if counts[label] > NEIGHBOURS and cosines[row].any():
                winner, share = _winner([labels["train"][index] for index in indices[row]], cosines[row])
                found.append(_Vote(name, row, label, winner, share, float(cosines[row].mean())))
    return found


def _winner(labels: Sequence[str], weights: Any) -> tuple[str, float]:
    votes: dict[str, float] = {}
    for label, weight in zip(labels, weights, strict=True):
        votes[label] = votes.get(label, 0.0) + float(weight)
    best = max(votes, key=lambda label: votes[label])
    return best, votes[best] / sum(votes.values())


def _threshold(votes: Sequence[_Vote]) -> float | None:
    """The least share of votes from which on they are right often enough; None where there is none."""
    lowest, right = None, 0
    ordered = sorted(votes, key=lambda vote: -vote.share)
    for number, vote in enumerate(ordered, start=1):
        right += vote.winner == vote.label
        last = number == len(ordered) or ordered[number].share < vote.share
        if vote.share >= _MAJORITY and last and number >= _FEW and right >= RIGHT * number:
            lowest = vote.share
    return lowest
