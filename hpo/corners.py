"""Which trials to try for their cost: the defaults and the cheapest and dearest corners, or points."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from hpo.space import Categorical, Params, Range, Space, Value, values

_BATCH = ("training.batch_size", "training.eval_batch_size")
_MORE = ("training.epochs", "training.evaluations_per_epoch", "data.max_length", "data.shots")
_SIMULATED = ("simulated.seconds", "simulated.evaluations")
_LESS = ("model.frozen_layers", "model.frozen_decoder_layers")
"""Settings of which a higher value makes less work."""
_KINDS = ("model.name", "training.precision")

MOST_KINDS = 4
"""Of models and precisions, where they are searched, so many are tried, the first of the study file."""


MOST_POINTS = 8
"""Of listed points, where they are more: so many, evenly chosen."""


def listed(points: Sequence[Params]) -> Iterator[tuple[dict[str, Value], int]]:
    """The points to try of those that a study lists, each with how many of them cost the same."""
    found: dict[tuple[Value, ...], tuple[dict[str, Value], int]] = {}
    for point in points:
        key = tuple(point.get(address) for address in (*_BATCH, *_MORE, *_SIMULATED, *_LESS, *_KINDS))
        first, count = found.get(key, (dict(point), 0))
        found[key] = first, count + 1
    kept = [*found.values()]
    count = min(len(kept), MOST_POINTS)
    yield from (kept[place * (len(kept) - 1) // max(1, count - 1)] for place in range(count))


def corners(space: Space) -> list[dict[str, Value]]:
    """The parameters of each trial to try; the first has none, and so the objective's own values.

    Least and most work (epochs, length, layers that learn) by the smallest and the largest batch, for each model and
    precision: what stands between is cheaper than the dearest of these. Other settings stay at their defaults.
    """
    kinds = [part for address in _KINDS if address in space for part in [_all(address, space[address])]]
    some = [_joined(parts) for parts in itertools.product(*kinds)][:MOST_KINDS]
    batch = [_end(space, _BATCH, (), high) for high in (False, True)]
    work = [_end(space, (*_MORE, *_SIMULATED), _LESS, high) for high in (False, True)]
    found = [{}, *(_joined(parts) for parts in itertools.product(some, work, batch))]
    return [params for number, params in enumerate(found) if params not in found[:number]]


def _all(address: str, range_: Range) -> list[dict[str, Value]]:
    return [{address: value} for value in values(range_)]


def _end(space: Space, more: Sequence[str], less: Sequence[str], high: bool) -> dict[str, Value]:
    """The least or the most work that these settings make."""
    found: dict[str, Value] = {address: _extreme(space[address], high) for address in more if address in space}
    return found | {address: _extreme(space[address], not high) for address in less if address in space}


def _extreme(range_: Range, high: bool) -> Value:
    if isinstance(range_, Categorical):
        every = next((choice for choice in range_.choices if choice is None or choice == "all"), 0)
        if every != 0 and (high or len(range_.choices) == 1):  # of data.shots all rows, of frozen_layers all blocks
            return every
        numbers = [choice for choice in range_.choices if isinstance(choice, int | float)]
        return max(numbers) if high else min(numbers)
    if not high:
        return range_.low
    return range_.value((range_.count or 1) - 1) if range_.count else range_.high


def _joined(parts: Sequence[Params]) -> dict[str, Value]:
    return {address: value for part in parts for address, value in part.items()}
