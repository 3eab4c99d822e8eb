"""What is wrong with what people wrote: one line each, with the value seen and what would be right."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from objectives.settings import Setting, addresses

_TYPES = {
    "int_type": "is not a whole number",
    "float_type": "is not a number",
    "string_type": "is not text; put it in quotes",
    "bool_type": "is neither true nor false",
    "list_type": "is not a list",
    "finite_number": "is not a finite number",
    "model_type": "is not a mapping of settings",
    "dict_type": "is not a mapping of settings",
}
_LIMITS = {
    "greater_than": ("gt", "too low; it must be above"),
    "greater_than_equal": ("ge", "too low; it must be at least"),
    "less_than": ("lt", "too high; it must be below"),
    "less_than_equal": ("le", "too high; it must be at most"),
}


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong, at one key path of the file."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class ComplaintError(Exception):
    """What people wrote cannot be used; holds every complaint."""

    def __init__(self, *complaints: Complaint) -> None:
        super().__init__("; ".join(map(str, complaints)))
        self.complaints = complaints


@contextmanager
def collecting(found: list[Complaint]) -> Iterator[None]:
    """Keeps the complaints of the block and goes on after it."""
    try:
        yield
    except ComplaintError as refused:
        found += refused.complaints


def shown(value: Any) -> str:
    """A value as it would be written, short and on one line."""
    if isinstance(value, str):
        return reprlib.repr(value) if len(value) > 60 else f"'{value}'".replace("\n", "\\n")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return reprlib.repr(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name: the nearest known one, else all of them if they are few."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if len(names) < 20 else "hpo check prints the known ones"


def explain(error: ValidationError, kind: type[Setting], prefix: str = "") -> list[Complaint]:
    """The complaints that a failed check of `kind` makes, with `prefix` before their key paths."""
    best: dict[tuple[str, ...], ErrorDetails] = {}
    for detail in error.errors(include_url=False):
        path, _ = _walk(kind, detail["loc"])
        if path not in best or (best[path]["type"] in _TYPES and not _is_no_word(detail)):  # the part that got furthest
            best[path] = detail
    return [Complaint(".".join((*prefix.split("."), *path)).strip("."), _say(best[path], kind)) for path in best]


def of_file(error: Exception) -> str:
    """What was said of the rows of FILE, with options of a command in place of the settings."""
    text = str(error).removeprefix("FILE: ")
    return text.replace("data.encoding", "--encoding").replace("set data.delimiter:", "give --delimiter")


def _is_no_word(detail: ErrorDetails) -> bool:
    """Whether a number stands where a word or a number may: what is wrong with it is said of numbers."""
    return detail["type"] == "literal_error" and not isinstance(detail["input"], str)


def _walk(kind: type[Setting], loc: tuple[int | str, ...]) -> tuple[tuple[str, ...], type[Setting]]:
    """The key path of an error, without pydantic's names for the parts of a union, and the group it is in."""
    path: list[str] = []
    for part in loc:
        path.append(str(part))
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, Setting)):
            break
        if len(path) < len(loc):
            kind = inner
    return tuple(path), kind


def _say(detail: ErrorDetails, kind: type[Setting]) -> str:
    name, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    _, group = _walk(kind, detail["loc"])
    if name in _TYPES:
        return f"{shown(value)} {_TYPES[name]}"
    if name in _LIMITS:
        limit, words = _LIMITS[name]
        return f"{shown(value)} is {words} {context[limit]:.10g}"
    if name == "literal_error":
        return f"{shown(value)} is unknown; {nearest(str(value), _literals(context['expected']))}"
    if name == "extra_forbidden":
        return f"unknown setting; {_moved(str(detail['loc'][-1]), group, kind)}"
    if name == "string_too_long":
        return f"is longer than {context['max_length']} characters; shorten it"
    plain = {"missing": "is missing; add it", "string_too_short": "is empty; give a name"}
    return plain.get(name) or detail["msg"].removeprefix("Value error, ")


def _literals(expected: str) -> list[str]:
    """The values in pydantic's "'a', 'b' or 'c'"."""
    return [part.strip("'") for part in expected.replace(" or ", ", ").split(", ")]


def _moved(name: str, group: type[Setting], kind: type[Setting]) -> str:
    """Advice for an unknown setting: its near name in the group, or its place in another group."""
    elsewhere = [address for address in addresses(kind) if address.split(".")[-1] == name]
    return f"did you mean {elsewhere[0]}?" if elsewhere else nearest(name, group.model_fields)
