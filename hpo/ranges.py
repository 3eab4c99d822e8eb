"""From what stands under `search:` to a checked search space."""

from __future__ import annotations

import itertools
import types
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hpo.complaints import Complaint, ComplaintError, collecting, explain, nearest, shown
from hpo.space import Categorical, Float, Int, Params, Range, Space, exact, points, values
from objectives.settings import Setting, Settings, addresses, get, replace

LARGEST_GRID = 100_000
FIELDS = ("low", "high", "log", "step", "points", "choices")

_FILES = ("path", "hub", "config", "revision", "train", "valid", "test", "encoding", "delimiter")
_ROWS = (*_FILES, "label", "group", "slice", "split", "where", "clean", "fit", "score")
_FIXED = {f"data.{name}": "trials on other rows or labels do not compare" for name in _ROWS} | {
    "task": "trials of other tasks do not compare"
}
_FREE = ("task.prompt",)


class _Written(Setting):
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    points: int | None = None
    choices: list[Any] | None = None


def parse(written: Any, settings: Settings) -> dict[str, Range]:
    """The search space that a mapping of addresses describes for these settings; raises ComplaintError."""
    if not isinstance(written, Mapping) or not written:
        raise ComplaintError(Complaint("search", f"{shown(written)} is no search space; give ranges by address"))
    space: dict[str, Range] = {}
    found: list[Complaint] = []
    for address, text in written.items():
        with collecting(found):
            check_address(address, settings, _key(address))
            space[address] = _range(address, text, settings)
            _check_values(address, space[address], settings)
    if not found:
        with collecting(found):
            _check_pairs(space, settings)
    if found:
        raise ComplaintError(*found)
    return space


def written(range_: Range) -> dict[str, Any]:
    """A range as a study file writes it, without what is left at its default."""
    kind = type(range_)
    fields = {name: value for name, value in asdict(range_).items() if value != getattr(kind, name, ...)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def check_grid(space: Space, times: int = 1) -> None:
    """Refuses a range whose values cannot be counted, and more points than are tried, each `times`; ComplaintError."""
    for address, range_ in space.items():
        if range_.count is None:
            raise ComplaintError(Complaint(_key(address), "a grid needs choices, step or points"))
    count = (points(space) or 0) * times
    if count > LARGEST_GRID:
        message = f"the grid has {count} points; at most {LARGEST_GRID} are tried: give fewer points"
        raise ComplaintError(Complaint("search", message))


def contained(params: Params, space: Space, settings: Settings, key: str) -> dict[str, Any]:
    """Parameters a person chose, checked against the space and the settings; raises ComplaintError."""
    for address, value in params.items():
        at = f"{key}.{address}".strip(".")
        if address not in space:
            raise ComplaintError(Complaint(at, f"is not searched; the search has {', '.join(space)}"))
        if value not in space[address]:
            raise ComplaintError(Complaint(at, f"{shown(value)} is outside the search, {space[address]}"))
    found = tried(settings, params, key)
    return {address: get(found, address) for address in params}


def check_address(address: str, settings: Settings, key: str) -> None:
    """Refuses an address at which no trial may differ from another; raises ComplaintError."""
    known = list(addresses(settings))
    for fixed, reason in _FIXED.items():
        if address not in _FREE and (address == fixed or address.startswith(f"{fixed}.")):
            raise ComplaintError(Complaint(key, f"cannot be searched: {reason}; make it another study"))
    inside = [name for name in known if name.startswith(f"{address}.")]
    if inside:
        raise ComplaintError(Complaint(key, f"is a group of settings; write an address such as {inside[0]}"))
    if address not in known:
        same = [name for name in known if name.split(".")[-1] == address.rpartition(".")[2]]
        advice = f"did you mean {same[0]}?" if same else nearest(address, known)
        raise ComplaintError(Complaint(key, f"unknown setting; {advice}"))


def _range(address: str, text: Any, settings: Settings) -> Range:
    fields = {"choices": text} if isinstance(text, list) else text
    if not isinstance(fields, Mapping):
        raise ComplaintError(Complaint(_key(address), f"{shown(text)} is no range; give low and high, or choices"))
    try:
        given = _Written.model_validate(fields)
    except ValidationError as error:
        raise ComplaintError(*explain(error, _Written, _key(address))) from error
    if given.choices is not None:
        return _categorical(address, given, settings)
    kind = _types(settings, address)
    if float not in kind and int not in kind:
        raise ComplaintError(Complaint(_key(address), "is no number, so it has no low and high; give choices"))
    _check_bounds(address, given)
    return _float(given) if float in kind else _int(address, given)


def _categorical(address: str, given: _Written, settings: Settings) -> Categorical:
    others = given.model_fields_set - {"choices"}
    if others:
        raise ComplaintError(Complaint(_key(address), f"{sorted(others)[0]} and choices are both given; keep one"))
    if not given.choices:
        raise ComplaintError(Complaint(_key(address), "choices is empty; give at least one"))
    checked = [accepted(address, choice, settings, _key(address), "choices: ") for choice in given.choices]
    twice = [shown(choice) for place, choice in enumerate(checked) if choice in Categorical(tuple(checked[:place]))]
    if twice:
        raise ComplaintError(Complaint(_key(address), f"choices gives {twice[0]} twice; keep one"))
    return Categorical(tuple(checked))


def _check_bounds(address: str, given: _Written) -> None:
    """Refuses bounds that span no range, whatever the setting."""
    if given.low is None or given.high is None:
        raise ComplaintError(Complaint(_key(address), "needs low and high, or choices"))
    low, high, step = given.low, given.high, given.step
    rules = {
        f"low {low!r} is above high {high!r}; swap them": low > high,
        f"low {low!r} has no logarithm; raise it above 0 or remove log": given.log and low <= 0,
        "log and step are both given; keep one": given.log and step is not None,
        "points and step are both given; keep one": given.points is not None and step is not None,
        f"step {step!r} is not above 0": step is not None and step <= 0,
        f"points {given.points!r} spans no range; give at least 2": given.points is not None and given.points < 2,
        f"points {given.points!r} is above {LARGEST_GRID}; lower it": (given.points or 0) > LARGEST_GRID,
    }
    for message, broken in rules.items():
        if broken:
            raise ComplaintError(Complaint(_key(address), message))
    if step is not None and (exact(high) - exact(low)) % exact(step):
        top = exact(low) + (exact(high) - exact(low)) // exact(step) * exact(step)
        raise ComplaintError(
            Complaint(_key(address), f"steps of {step!r} from {low!r} miss high {high!r}; lower it to {top}")
        )


def _float(given: _Written) -> Float:
    step = None if given.step is None else float(given.step)
    return Float(float(given.low or 0), float(given.high or 0), given.log, step, given.points)


def _int(address: str, given: _Written) -> Int:
    for name in ("low", "high", "step"):
        if isinstance(getattr(given, name), float):
            message = f"{name} {getattr(given, name)!r} is not a whole number, as {address} is"
            raise ComplaintError(Complaint(_key(address), message))
    range_ = Int(int(given.low or 0), int(given.high or 0), given.log, int(given.step or 1), given.points)
    if given.points and len(set(values(range_))) < given.points:
        raise ComplaintError(Complaint(_key(address), f"points {given.points} gives a whole number twice; lower it"))
    return range_


def _check_values(address: str, range_: Range, settings: Settings) -> None:
    """Refuses a bound that the setting itself would; choices were checked as they were read."""
    if not isinstance(range_, Categorical):
        accepted(address, range_.low, settings, _key(address), "low: ")
        accepted(address, range_.high, settings, _key(address), "high: ")


def _check_pairs(space: Space, settings: Settings) -> None:
    """Refuses two ranges whose ends do not go together, such as two ways to set the same thing."""
    for (one, first), (other, second) in itertools.combinations(space.items(), 2):
        for a, b in itertools.product(_ends(first), _ends(second)):
            try:
                replace(settings, {one: a, other: b})
            except ValidationError as error:
                message = f"{one} {shown(a)} with {other} {shown(b)}: {explain(error, type(settings))[0]}"
                raise ComplaintError(Complaint("search", message)) from error


def _ends(range_: Range) -> tuple[Any, ...]:
    return range_.choices if isinstance(range_, Categorical) else (range_.low, range_.high)


def accepted(address: str, value: Any, settings: Settings, key: str, label: str = "") -> Any:
    """The value as the setting holds it; raises ComplaintError."""
    try:
        return get(replace(settings, {address: value}), address)
    except ValidationError as error:
        raise ComplaintError(Complaint(key, label + explain(error, type(settings))[0].message)) from error


def tried(settings: Settings, params: Params, key: str) -> Settings:
    """The settings with these values; raises ComplaintError where they do not go together."""
    try:
        return replace(settings, params)
    except ValidationError as error:
        lines = explain(error, type(settings))
        raise ComplaintError(*(_among(line, params, key) for line in lines)) from error


def _among(line: Complaint, params: Params, key: str) -> Complaint:
    """A complaint about one of the parameters or about several, which stand under this key."""
    return Complaint(f"{key}.{line.key}".strip("."), line.message) if line.key in params else Complaint(key, str(line))


def _types(settings: Settings, address: str) -> set[Any]:
    """The plain types that the setting at an address may hold."""
    kind: type[BaseModel] = type(settings)
    *groups, name = address.split(".")
    for group in groups:
        kind = kind.model_fields[group].annotation  # type: ignore[assignment]
    if name not in kind.model_fields:  # a setting of a function of one's own: as its default is
        return {type(get(settings, address))}
    return _flat(kind.model_fields[name].annotation)


def _flat(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*map(_flat, get_args(annotation)))
    inner = getattr(annotation, "__origin__", None) if hasattr(annotation, "__metadata__") else None
    return _flat(inner) if inner else {annotation}


def _key(address: str) -> str:
    return f"search.{address}"
