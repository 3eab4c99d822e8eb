"""What stands in the column to predict where a question is answered by a part of a text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from objectives.data import Splits, Table
from objectives.errors import DataError
from objectives.settings import Data

SPAN = ("start", "end")
SPAN_OR_NONE = ("start or none", "end or none")
"""What there is to predict of each token; which of the two tells whether a question may have no answer."""


class Answer(NamedTuple):
    """A part of the text, and the place of its first character."""

    text: str
    start: int


def answers_of(cell: str, context: str) -> list[Answer]:
    """The answers of a question; none where the cell is empty: it cannot be answered from this text.

    A JSON list of `{"text": ..., "answer_start": ...}`, as SQuAD has it, an object of these two lists, as `datasets`
    has it, or an answer as plain text, which stands where it is found first. Raises ValueError where it stands nowhere.
    """
    if not cell.strip():
        return []
    listed = _listed(cell)
    found = [Answer(cell.strip(), context.find(cell.strip()))] if listed is None else listed
    for text, start in found:
        if not text or start < 0 or context[start : start + len(text)] != text:
            where = "" if listed is None else f" at character {start}"
            raise ValueError(f"the answer {text[:60]!r} does not stand in the text{where}")
    return found


def _listed(cell: str) -> list[Answer] | None:
    """The answers that JSON lists; None where the cell is no such list: an answer may begin with a bracket."""
    try:
        found: Any = json.loads(cell)
        if isinstance(found, dict):
            found = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        return [Answer(str(one["text"]), int(one["answer_start"])) for one in found]
    except (ValueError, TypeError, KeyError):
        return None


def spans(splits: Splits, data: Data) -> tuple[str, ...]:
    """SPAN, or SPAN_OR_NONE where some question to train on has no answer; raises DataError where an answer does not
    stand in its text, or no question has one."""
    tables = [table for table in (splits.train, splits.valid, splits.test) if table is not None]
    train, *_ = [[bool(each) for each in _answers(table, data)] for table in tables]
    if not any(train):
        raise DataError("data.label", "no question to train on has an answer; right is some that have")
    return SPAN if all(train) else SPAN_OR_NONE


def _answers(table: Table, data: Data) -> list[list[Answer]]:
    found = []
    for row, (cell, context) in enumerate(zip(table.column(data.label), table.column(data.pair or ""), strict=True)):
        try:
            found.append(answers_of(cell, context))
        except ValueError as error:
            advice = f"right is a part of {data.pair!r}, or nothing"
            raise DataError("data.label", f"{table.place(row)}: {error}; {advice}") from None
    return found
