"""States after frozen blocks of a few rows, in memory, for a dry run; no cache is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from objectives import recall, worth
from objectives.batches import Example, chunks
from objectives.cache import Cache
from objectives.devices import Machine
from objectives.worth import Course, Frozen, Offer, Rows


@dataclass(frozen=True)
class Glimpse:
    """Rows by split, those that were wanted with their states, which are one a row where `pooled`.

    `build_seconds` is what the states of all rows would take to compute and to write, at all depths that are kept.
    """

    rows: Mapping[str, list[Example]]
    pooled: bool
    build_seconds: float


def offered(
    frozen: Frozen, splits: Mapping[str, Sequence[Example]], course: Course, machine: Machine, cache: Cache
) -> Offer | None:
    """What a trial would compute once, by its own decision with an empty cache; None where it would not."""
    try:
        found = worth.offer(frozen, splits, machine, cache)
    except OSError:  # no room for it
        return None
    return None if found is None or found.refused(course) else found


def glimpse(
    offer: Offer, wanted: Mapping[str, Collection[int]], clock: Callable[[Callable[[], object]], float]
) -> Glimpse:
    """The states of the wanted rows, computed as for the cache, the model left whole.

    `clock` tells the seconds of an act, which are taken to grow with the tokens that are computed, padding included.
    """
    found = {name: list(rows.examples) for name, rows in offer.rows.items()}
    pooled = offer.own.pooling is not None
    batches = [
        (name, some)
        for name, rows in offer.rows.items()
        for some in chunks([row for row in rows.order if row in wanted[name]], recall.BATCH)
    ]
    with recall.reading(offer.frozen, offer.machine, offer.parts) as read:

        def look(name: str, some: Sequence[int]) -> None:
            rows = Rows([offer.rows[name].examples[row] for row in some])
            states = read(rows.examples)[offer.own].clone()  # what inference computed cannot be learned from
            for row, example in zip(some, rows.recalled([states], offer.own), strict=True):
                found[name][row] = example

        clock(partial(look, *batches[0]))  # warms up
        seconds = sum(clock(partial(look, *batch)) for batch in batches)
    seen = sum(_padded(offer.rows[name], some) for name, some in batches)
    every = sum(_padded(rows, some) for rows in offer.rows.values() for some in chunks(rows.order, recall.BATCH))
    return Glimpse(found, pooled, seconds * every / seen + offer.bytes / worth.WRITE)


def _padded(rows: Rows, some: Sequence[int]) -> int:
    return len(some) * max(rows.lengths[row] for row in some)
