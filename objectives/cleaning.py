"""Rows made clean before they are divided, with a notice of how many each step met."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from objectives import folders
from objectives.errors import DataError
from objectives.settings import Data
from objectives.tables import Table

_NAMES = (
    "a abbr address article aside audio b big blockquote body br button center cite code col dd del div dl dt em embed "
    "figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label li link "
    "main mark meta nav object ol option p picture pre q s samp script section select small source span strike strong "
    "style sub summary sup svg table tbody td textarea tfoot th thead title tr tt u ul var video"
)
_TAG = re.compile(rf"</?(?:{'|'.join(_NAMES.split())})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_INLINE = re.compile(r"</?(?:abbr|b|big|cite|code|em|font|i|mark|s|small|span|strong|sub|sup|tt|u)\b", re.IGNORECASE)


def clean(
    table: Table, data: Data, columns: Sequence[str], blank: Collection[str] = (), *, images: bool = False
) -> Table:
    """The table as `data.clean` wants it, `columns` being those that are used, a cell of the `blank` ones empty or not.

    Raises DataError where no row is left.

    Markup goes first, then unicode is composed, then empty rows are removed, then equal texts, or files of `images`.
    """
    read = (data.text, data.pair)  # by which rows may be grouped, too
    texts = [name for name in columns if name in read or name not in (data.label, data.group)]
    wanted = data.clean
    if wanted.strip_html:
        table = _changed(table, texts, without_html, "strip_html")
    if wanted.unicode == "nfkc":
        table = _changed(table, columns, _composed, "unicode: nfkc")
    if wanted.drop_empty:
        table = _filled(table, [name for name in columns if name not in blank])
    if wanted.deduplicate:
        table = _unique(table, texts, data, images)
    if not len(table):
        raise DataError("data.clean", f"{table.source}: leaves no row; remove drop_empty, or look at the file")
    return table


def as_trained(text: str, *, strip_html: bool, unicode: str) -> str:
    """A new text as `data.clean` changes those of the rows."""
    text = without_html(text) if strip_html else text
    return _composed(text) if unicode == "nfkc" else text


def without_html(text: str) -> str:
    """The text without tags and entities; `x < y` and `<3` stay as they are."""
    plain = _TAG.sub(lambda tag: "" if _INLINE.match(tag[0]) else " ", _UNSEEN.sub(" ", text))
    plain = html.unescape(plain)
    return " ".join(plain.split()) if plain != text else text


def conflicts(texts: Sequence[object], labels: Sequence[str]) -> int:
    """How many texts stand with more than one label."""
    found: dict[object, set[str]] = defaultdict(set)
    for text, label in zip(texts, labels, strict=True):
        found[text].add(label)
    return sum(len(given) > 1 for given in found.values())


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _changed(table: Table, names: Sequence[str], change: Callable[[str], str], step: str) -> Table:
    columns = {**table.columns, **{name: [change(text) for text in table.column(name)] for name in names}}
    pairs = [zip(table.column(name), columns[name], strict=True) for name in names]
    count = sum(any(old != new for old, new in row) for row in zip(*pairs, strict=True))
    return table.noting(f"clean.{step} changed {count} of {len(table)} rows").with_columns(columns)


def _filled(table: Table, columns: Sequence[str]) -> Table:
    empty = {name: {row for row, value in enumerate(table.column(name)) if not value.strip()} for name in columns}
    kept = [row for row in range(len(table)) if not any(row in rows for rows in empty.values())]
    removed = {name: len(rows) for name, rows in empty.items()}
    return replace(_kept(table, kept, "drop_empty"), removed=removed)


def _unique(table: Table, texts: Sequence[str], data: Data, images: bool) -> Table:
    same = [folders.digests(table, data.text, "data.text")] if images else [table.column(name) for name in texts]
    keys = list(zip(*same, strict=True))
    first: dict[object, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    doubt = "".join(_doubt(table, keys, data.label, "image" if images else "text"))
    return _kept(table, list(first.values()), "deduplicate", doubt)


def _doubt(table: Table, keys: Sequence[object], label: str, what: str) -> Iterator[str]:
    if label in table.columns and (count := conflicts(keys, table.column(label))):
        yield f"; {count} {what}{'s' * (count != 1)} stood with different labels: the first is kept"


def _kept(table: Table, rows: Sequence[int], step: str, more: str = "") -> Table:
    removed = len(table) - len(rows)
    return table.take(rows).noting(f"clean.{step} removed {removed} of {len(table)} rows{more}")
