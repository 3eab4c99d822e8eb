"""What stands in the column to predict where it is no single class: numbers, classes, texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from objectives.data import Splits, Table
from objectives.errors import DataError

SEPARATOR = "|"
"""Between the classes of a row, where these are no JSON list."""


def number(cell: str) -> float:
    """The number that a cell holds; raises ValueError where it holds none, or one that is not finite."""
    found = float(cell)
    if not math.isfinite(found):
        raise ValueError("not finite")
    return found


def classes_of(cell: str) -> list[str]:
    """The classes of a row, each once: a JSON list, or names with `|` between them; none where the cell is empty.

    Raises ValueError where a JSON list holds something else than texts.
    """
    listed = json.loads(cell) if cell.lstrip().startswith("[") else cell.split(SEPARATOR)
    if not all(isinstance(name, str) for name in listed):
        raise ValueError("not texts")
    return sorted({name.strip() for name in listed} - {""})


def numbers(splits: Splits, label: str) -> tuple[str, ...]:
    """The one number there is to predict, by its column's name; raises DataError where a cell holds none."""
    for table in _tables(splits):
        for row, cell in enumerate(table.column(label)):
            try:
                number(cell)
            except ValueError:
                seen = f"{table.place(row)}: {cell!r} is no finite number; right is one as 3.5"
                raise DataError("data.label", seen) from None
    if len(set(map(number, splits.train.column(label)))) == 1:
        raise DataError("data.label", f"every training row has the same number in column {label!r}: nothing to learn")
    return (label,)


def several(splits: Splits, label: str) -> tuple[str, ...]:
    """All classes of the training rows, sorted; raises DataError where there are none, or others stand elsewhere."""
    known = tuple(sorted({name for name, *_ in _each(splits.train, label)}))
    if not known:
        raise DataError("data.label", f"no training row has a class in column {label!r}; right is A|B or a JSON list")
    for table in _tables(splits):
        for name, row in _each(table, label):
            if name not in known:
                seen = f"{table.place(row)}: class {name!r} stands in no training row"
                raise DataError("data.label", f"{seen}; right is a class of several rows")
    return known


def texts(_splits: Splits, _label: str) -> tuple[str, ...]:
    """Nothing that could be listed: any token may be predicted."""
    return ()


def _each(table: Table, label: str) -> Iterator[tuple[str, int]]:
    """Each class of each row, and the row."""
    for row, cell in enumerate(table.column(label)):
        try:
            yield from ((name, row) for name in classes_of(cell))
        except ValueError:
            raise DataError("data.label", f"{table.place(row)}: {cell!r} is no list of classes; right is A|B") from None


def _tables(splits: Splits) -> Iterator[Table]:
    return (table for table in (splits.train, splits.valid, splits.test) if table is not None)
