"""How values and rows look: on a terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]

_WIDEST, _LEAST = 120, 16  # columns of a terminal
_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def console(stderr: bool = False) -> Console:
    """A console that wraps nothing where the output is no terminal."""
    plain = partial(Console, stderr=stderr, highlight=False, markup=False, emoji=False)  # `[none]` is text
    found = plain(soft_wrap=False)
    return found if found.is_terminal else plain(width=10_000)


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str], title: str | None = None) -> Table:
    """A plain table; numbers stand to the right."""
    body = [[shown(value) for value in row] for row in rows]
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        numeric = all(_numeric(row[index]) for row in body)
        made.add_column(printable(column), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        made.add_row(*row)
    return made


def show(rows: Iterable[Sequence[Any]], columns: Sequence[str], title: str | None = None) -> None:
    """Print a table on stdout."""
    console().print(table(rows, columns, title))


def fitted(console: Console, rows: Sequence[Sequence[Any]], columns: Sequence[str], title: str | None = None) -> Table:
    """A table whose last column, a text, is cut to what the others leave of the console's width, or of 120 columns."""
    beside = table([(*row[:-1], "") for row in rows], (*columns[:-1], ""))
    room = max(min(console.width, _WIDEST) - console.measure(beside).maximum, _LEAST)
    body = [(*row[:-1], shortened(" ".join(str(row[-1]).split()), room)) for row in rows]
    return table(body, columns)


def shortened(text: str, cells: int) -> str:
    """A text cut to so many columns of a terminal, wide characters being two."""
    made = Text(text)
    made.truncate(cells, overflow="ellipsis")
    return made.plain


def shown(value: Any) -> str:
    """A value as a person reads it: five significant digits, nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.5g}" if abs(value) < 1e5 else f"{value:.0f}"
        case datetime():
            return value.astimezone().isoformat(sep=" ", timespec="seconds")
        case dict():
            return "  ".join(f"{printable(str(name))}={shown(inner)}" for name, inner in value.items())
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """A text without control characters but line ends and tabs: rows may hold what a terminal takes for commands."""
    return text.translate(_CONTROL)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03, or 02:03 within the hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(as_json(value))


def as_json(value: Any) -> str:
    """One JSON document; times in ISO 8601, and null for what is no finite number, which JSON has none for."""
    return json.dumps(_finite(value), default=_plain, ensure_ascii=False, indent=2) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(rows: Sequence[Row]) -> str:
    """CSV with one column a key, nested ones as `params.training.learning_rate`."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    output = io.StringIO()
    writer = csv.DictWriter(output, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in flat)
    return output.getvalue()


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    """A Parquet file with the columns of `as_csv`, with types; mixed ones, and lists, are text. Raises OSError."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    flat = [_flat(row) for row in rows]
    columns = {name: [row.get(name) for row in flat] for name in dict.fromkeys(name for row in flat for name in row)}
    parquet.write_table(pa.table({name: _column(values) for name, values in columns.items()}), path)


def _column(values: Sequence[Any]) -> Sequence[Any]:
    """Values of one type, as they are; others as CSV has them."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and not kinds & {dict, list}):
        return [float(value) if value is not None and float in kinds else value for value in values]
    return [None if value is None else str(_cell(value)) for value in values]


def _flat(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = value if isinstance(value, dict) else None
        found |= {f"{name}.{key}": item for key, item in inner.items()} if inner is not None else {name: value}
    return found


def _cell(value: Any) -> Any:
    return json.dumps(value, default=_plain, ensure_ascii=False) if isinstance(value, dict | list) else _plain(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _numeric(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True
