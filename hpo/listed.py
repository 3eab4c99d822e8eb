"""From what stands under `points:` to checked points, and the search space that holds just these."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hpo.complaints import Complaint, ComplaintError, collecting, shown
from hpo.ranges import LARGEST_GRID, check_address, check_grid, contained, tried
from hpo.space import Categorical, Params, Space, Value, grid
from objectives.settings import Settings, get

Points = tuple[Params, ...]


def parse(written: Sequence[Mapping[str, Any]], settings: Settings) -> Points:
    """The points of a list of mappings, each with a value at every address that one of them names.

    Where a point does not name it, that is the objective's own. Raises ComplaintError.
    """
    if len(written) > LARGEST_GRID:
        raise ComplaintError(Complaint("points", f"lists {len(written)}; at most {LARGEST_GRID} are tried"))
    found: list[Complaint] = []
    named: list[Params] = []
    for place, point in enumerate(written):
        with collecting(found):
            named.append(_checked(point, settings, f"points.{place}"))
    if found:
        raise ComplaintError(*found)
    addresses = dict.fromkeys(address for point in named for address in point)
    points = tuple({address: _at(point, settings, address) for address in addresses} for point in named)
    _check_once(points)
    return points


def crossed(points: Points, search: Space, settings: Settings) -> Points:
    """Each combination of the ranges with all of the points, which change fastest.

    Raises ComplaintError where the ranges are no grid, or one of them is of an address that points name.
    """
    check_grid(search, times=len(points))
    for address in search:
        if address in points[0]:
            raise ComplaintError(Complaint(f"search.{address}", "points name it, too; keep one of them"))
    found = tuple({**others, **point} for others in grid(search) for point in points)
    for place, params in enumerate(found):
        tried(settings, params, f"points.{place % len(points)}")
    return found


def space(points: Points) -> dict[str, Categorical]:
    """The values that the points have, by address: what Optuna and its dashboard are told."""
    return {address: Categorical(_distinct([point[address] for point in points])) for address in points[0]}


def queued(params: Params, points: Points, search: Space, settings: Settings, key: str) -> dict[str, Any]:
    """A point that a person chose, checked; beside listed points nothing is drawn, and what it leaves out is filled in.

    That is the objective's own value, as in a listed point. Raises ComplaintError.
    """
    chosen = contained(params, search, settings, key)
    left = [address for address in search if address not in chosen] if points else []
    for address in left:
        if (own := get(settings, address)) not in search[address]:
            said = f"the objective's own, {shown(own)}, is not in the list; name {search[address]}"
            raise ComplaintError(Complaint(f"{key}.{address}".strip("."), said))
    return contained({**chosen, **{address: get(settings, address) for address in left}}, search, settings, key)


def _checked(point: Mapping[str, Any], settings: Settings, key: str) -> dict[str, Value]:
    found: list[Complaint] = []
    for address in point:
        with collecting(found):
            check_address(address, settings, f"{key}.{address}")
    if found:
        raise ComplaintError(*found)
    made = tried(settings, point, key)
    return {address: get(made, address) for address in point}


def _at(point: Params, settings: Settings, address: str) -> Value:
    value: Value = point[address] if address in point else get(settings, address)
    return value


def _check_once(points: Points) -> None:
    """Refuses a point that stands twice: each is one trial."""
    found, places = [], dict[Hashable, int]()
    for place, point in enumerate(points):
        if (first := places.setdefault(tuple(map(_told, point.values())), place)) < place:
            found.append(Complaint(f"points.{place}", f"is points.{first} again; remove one"))
    if found:
        raise ComplaintError(*found)


def _distinct(values: Sequence[Value]) -> tuple[Value, ...]:
    found: dict[Hashable, Value] = {}
    for value in values:
        found.setdefault(_told(value), value)
    return tuple(found.values())


def _told(value: Value) -> Hashable:
    """What tells a value from others: true is not 1."""
    return isinstance(value, bool), value
