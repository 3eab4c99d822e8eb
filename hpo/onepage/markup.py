"""Pieces of HTML; what is not HTML already is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from hpo.tables import shown


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *inner: Any, **attributes: str) -> Markup:
    """An element; what is inside is escaped unless it is Markup, and so are attributes. `_` ends those that are words
    of Python."""
    written = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{''.join(map(said, inner))}</{name}>")


def said(value: Any) -> Markup:
    """A value as a person reads it, escaped; Markup as it is."""
    return value if isinstance(value, Markup) else Markup(escape(shown(value)))


def lines(*pieces: Markup) -> Markup:
    """Pieces one after the other."""
    return Markup("\n".join(piece for piece in pieces if piece))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], marked: int | None = None) -> Markup:
    """A table, numbers to the right, which scrolls by itself where it is too wide; one row may be marked."""
    body = [list(row) for row in rows]
    numeric = [all(isinstance(row[place], int | float | None) for row in body) for place in range(len(columns))]
    align = [{"class_": "number"} if each else {} for each in numeric]
    head = tag("tr", *(tag("th", name, **how) for name, how in zip(columns, align, strict=True)))
    made = [_row(row, align, place == marked) for place, row in enumerate(body)]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *made)), class_="wide")


def _row(row: Sequence[Any], align: Sequence[Mapping[str, str]], marked: bool) -> Markup:
    cells = (tag("td", value, **how) for value, how in zip(row, align, strict=True))
    return tag("tr", *cells, **({"class_": "marked"} if marked else {}))


def facts(pairs: Iterable[tuple[str, Any]]) -> Markup:
    """Names with their values, a line each."""
    rows = (tag("tr", tag("th", name), tag("td", value)) for name, value in pairs)
    return tag("div", tag("table", *rows, class_="facts"), class_="wide")


def card(value: Any, about: str, note: str = "") -> Markup:
    """A number to see first, and what it is."""
    return tag("div", tag("b", value), tag("span", about), tag("small", note), class_="card")


def commands(*written: str) -> Markup:
    """Commands to be copied."""
    return tag("pre", "\n".join(written))


def section(name: str, title: str, *inner: Markup) -> Markup:
    """A part of the page that can be linked to."""
    return tag("section", tag("h2", title), lines(*inner), id=name)


def bar(share: float, text: str) -> Markup:
    """A bar as long as a share from 0 to 1, with a text."""
    return Markup(f'<span class="bar"><i style="width:{100 * share:.1f}%"></i></span> {said(text)}')
