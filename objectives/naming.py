"""Columns as settings name them: which setting does, and what to say of one that is not there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from objectives.errors import DataError
from objectives.settings import Data

_LISTED = 20
"""How many names an error lists."""


def check_columns(source: str, found: Sequence[str], data: Data, columns: Collection[str]) -> None:
    """Refuses a source that lacks one of the columns; raises DataError naming the setting that wants it."""
    for column in columns:
        if column not in found:
            message = f"{source} has no column {column!r}; found {listed(found, column)}"
            raise DataError(address(data, column), message)


def address(data: Data, column: str) -> str:
    """The address of the setting that names a column."""
    if column in data.where.columns:
        return f"data.where.{column}"
    keys = ("text", "pair", "label", "group", "slice")
    return next((f"data.{name}" for name in keys if getattr(data, name) == column), "data")


def listed(found: Sequence[str], wanted: str) -> str:
    """The names that there are, the first of them, and the one that may have been meant."""
    near = get_close_matches(wanted, found, n=1)
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(found[:_LISTED]) + more + (f"; did you mean {near[0]!r}?" if near else "")
