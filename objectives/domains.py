"""Rows of one domain: those of a table whose cells hold the values that `data.where` wants."""

from __future__ import annotations

from objectives.errors import DataError
from objectives.naming import listed
from objectives.settings import Data
from objectives.tables import Table, as_text


def check(table: Table, data: Data) -> None:
    """Raises DataError where a wanted value stands in no row of a table that is trained on."""
    for name, values in _wanted(data).items():
        known = list(dict.fromkeys(table.column(name)))
        strange = [value for value in values if value not in known]
        if strange:
            message = f"no row of {table.source} has {strange[0]!r}; found {listed(known, strange[0])}"
            raise DataError(f"data.where.{name}", message)


def kept(table: Table, data: Data, role: str) -> Table:
    """The rows of a split that have a wanted value in each column; raises DataError where there is none."""
    wanted = _wanted(data)
    if not wanted:
        return table
    rows = [row for row in range(len(table)) if all(table.column(name)[row] in some for name, some in wanted.items())]
    if not rows:
        raise DataError(
            "data.where", f"leaves none of the {len(table)} {role} rows of {table.source}; give more values"
        )
    return table.take(rows)


def _wanted(data: Data) -> dict[str, list[str]]:
    """The values that are right for each column, as cells have them."""
    found = data.where.columns.items()
    return {name: [as_text(value) for value in (some if isinstance(some, list) else [some])] for name, some in found}
