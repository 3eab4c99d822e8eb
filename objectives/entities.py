"""Tags of words, and how well they are told: by whole entities, or tag by tag; no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

OUTSIDE = "O"
"""The tag of a word that belongs to no entity."""
_TAG = re.compile(r"([BIESLU])-(.+)")
MEASURES = ("precision", "recall", "f1")
_ALONE, _ENDS = "BSU", "ELSU"


class Span(NamedTuple):
    """An entity: the places of its first and its last word, and its type."""

    first: int
    last: int
    type: str


class Tagged(NamedTuple):
    """The tags of all words of a row, and the places of those that the model reads: others were cut off."""

    tags: Sequence[str]
    read: Sequence[int]

    def told(self, said: Sequence[str]) -> list[str]:
        """The tags of all words, `said` being those of the words that are read: others are outside."""
        found = dict(zip(self.read, said, strict=True))
        return [found.get(place, OUTSIDE) for place in range(len(self.tags))]


def types(tags: Iterable[str]) -> tuple[str, ...]:
    """The types of entities that tags name, sorted; none where a tag has no prefix such as B- or I-."""
    inside = [_TAG.fullmatch(tag) for tag in tags if tag != OUTSIDE]
    return tuple(sorted({found[2] for found in inside if found})) if all(inside) else ()


def spans(tags: Sequence[str]) -> Iterator[Span]:
    """The entities of a sentence, by tags of any of the schemes IOB1, IOB2, IOE1, IOE2, IOBES and BILOU.

    Tags that no scheme permits are read as the script conlleval of CoNLL-2000 does: an `I-` after another type begins
    an entity.
    """
    first, before = 0, OUTSIDE
    for place, tag in enumerate([*tags, OUTSIDE]):
        if tag == OUTSIDE or _begins(before, tag):
            if before != OUTSIDE:
                yield Span(first, place - 1, before[2:])
            first = place
        before = tag


def _begins(before: str, tag: str) -> bool:
    """Whether an entity begins at a tag that is not outside, after another."""
    return tag[0] in _ALONE or before == OUTSIDE or before[0] in _ENDS or before[2:] != tag[2:]


def scores(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], tags: Sequence[str]) -> dict[str, float]:
    """Metrics over sentences, each a tag for each word; `tags` are all that there are.

    `accuracy` is the share of words. Where tags name entities, `precision`, `recall` and `f1` are over entities, right
    where words and type are; else there are none of these. Beside them those of each type, or of each tag, and their
    means (`_macro`) over what is true or predicted somewhere; zero divided by zero is 0.
    """
    pairs = [pair for row in zip(truth, predicted, strict=True) for pair in zip(*row, strict=True)]
    names = types(tags)
    told = _entities if names else _words
    true, said = Counter(told(truth)), Counter(told(predicted))
    counts = [Counter(name for *_, name in part) for part in (true & said, true, said)]
    each = {name: _measures(*(count[name] for count in counts)) for name in names or tags}
    there = [one for name, one in each.items() if counts[1][name] + counts[2][name]]
    return {
        "accuracy": sum(one == other for one, other in pairs) / len(pairs),
        **(_measures(*(count.total() for count in counts)) if names else {}),
        **{f"{key}_macro": sum(one[key] for one in there) / len(there) if there else 0.0 for key in MEASURES},
        **{f"{key}[{name}]": value for name, one in each.items() for key, value in one.items()},
    }


Told = Iterator[tuple[int, int, int, str]]
"""What was told: the row, the first and the last word, the name."""


def _entities(rows: Sequence[Sequence[str]]) -> Told:
    return ((row, *span) for row, tags in enumerate(rows) for span in spans(tags))


def _words(rows: Sequence[Sequence[str]]) -> Told:
    return ((row, place, place, tag) for row, tags in enumerate(rows) for place, tag in enumerate(tags))


def _measures(right: int, true: int, predicted: int) -> dict[str, float]:
    both = true + predicted
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / both if both else 0.0,
    }
