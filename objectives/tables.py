"""Tables of text columns, read from one file; a mistake in the file is one line that says where it is."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

from objectives.conll import ConllError, sentences
from objectives.encodings import EncodingError, decode
from objectives.errors import DataError, without_login
from objectives.sheets import SheetError, cells
from objectives.squad import COLUMNS, SquadError, is_squad, questions
from objectives.words import cell_of


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `source` and the `lines` of the rows in it, or what is `counted` there instead, are for
    messages.

    `notices` are lines about how the rows came to be what they are; `removed` counts, for each column, the rows of the
    source that were removed because it was empty. `files` reads the image that a cell stands for, where that lies in no
    file of its own.
    """

    columns: Mapping[str, Sequence[str]]
    source: str = "the table"
    lines: Sequence[int] | None = None
    notices: tuple[str, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    files: Callable[[str], bytes] | None = None
    counted: str = "line"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Sequence[str]:
        """A column's values, one a row; KeyError where there is none."""
        return self.columns[name]

    def take(self, indices: Sequence[int]) -> Table:
        """The rows at these indices, in this order."""
        columns = {name: [values[index] for index in indices] for name, values in self.columns.items()}
        lines = [self.lines[index] for index in indices] if self.lines is not None else None
        return replace(self, columns=columns, lines=lines)

    def select(self, names: Sequence[str]) -> Table:
        """The same rows with these columns only."""
        return replace(self, columns={name: self.columns[name] for name in names})

    def with_columns(self, columns: Mapping[str, Sequence[str]]) -> Table:
        """The same rows with other values."""
        return replace(self, columns=columns)

    def noting(self, notice: str) -> Table:
        """The same table with one more notice, led by the source."""
        return replace(self, notices=(*self.notices, f"{self.source}: {notice}"))

    def place(self, index: int) -> str:
        """Where a row stands, for a message: `/data/news.csv, line 3`."""
        number = f"row {index + 1}" if self.lines is None else f"{self.counted} {self.lines[index]}"
        return f"{self.source}, {number}"

    def where(self, index: int) -> str:
        """The same in few letters: `news.csv:3`, or `news.parquet, row 3`; without lines the row of the split."""
        where = index + 1 if self.lines is None else self.lines[index]
        number = f":{where}" if self.lines is not None and self.counted == "line" else f", row {where}"
        return f"{self.source.rpartition('/')[2]}{number}"


@dataclass(frozen=True)
class _File:
    """A file's bytes, how they are written, and how to complain about them."""

    key: str
    path: str
    raw: bytes
    encoding: str | None = None
    delimiter: str | None = None

    def error(self, message: str, line: int | None = None) -> DataError:
        return DataError(self.key, f"{self.path}{f', line {line}' if line else ''}: {message}")


def read(
    path: str | Path, key: str = "data.path", *, encoding: str | None = None, delimiter: str | None = None
) -> Table:
    """The rows of a .csv, .tsv, .jsonl, .json (lines or SQuAD's), .parquet, .xlsx or CoNLL file, or of a URL of one.

    Without an `encoding` text is UTF-8 or guessed, with a notice; quoting is the csv module's default. Raises
    DataError naming `key`, the setting that names the file.
    """
    with open_binary(path, key) as stream:
        suffix = Path(str(path)).suffix.lower()
        if suffix not in READERS:
            right = f"right is one of {', '.join(READERS)}; images come in a folder or a .zip"
            raise DataError(key, f"{located(path)}: unknown suffix '{suffix}'; {right}")
        file = _File(key, located(path), stream.read(), encoding, delimiter)
    if not file.raw.removeprefix(codecs.BOM_UTF8).strip():
        raise file.error("is empty; right is a header and rows, or a JSON object a line")
    _check_kind(file, suffix)
    table = READERS[suffix](file)
    if not len(table):
        raise file.error("has a header and no rows; add some hundred")
    return table


def _check_kind(file: _File, suffix: str) -> None:
    """Refuses a file that is of another kind than its name says."""
    for mark, (suffixes, what, advice) in _MARKS.items():
        if file.raw.startswith(mark) and suffix not in suffixes:
            raise file.error(f"is {what}, whatever its name says; {advice}")


def located(path: str | Path) -> str:
    """A path made absolute; a URL without what logs in: it is for messages."""
    return without_login(str(path)) if _is_url(path) else str(Path(path).absolute())


def open_binary(path: str | Path, key: str) -> io.BufferedIOBase:
    """The file or URL opened for reading; raises DataError where it cannot be."""
    try:
        return _open_url(str(path)) if _is_url(path) else Path(path).open("rb")
    except FileNotFoundError:
        raise DataError(key, f"no such file: {located(path)}{_near(path)}") from None
    except IsADirectoryError:
        raise DataError(key, f"{located(path)} is a folder; right is a file of rows") from None
    except (OSError, ImportError, ValueError) as error:  # what fsspec raises for a protocol it lacks or does not know
        raise DataError(key, f"{located(path)} cannot be opened: {without_login(first_line(error))}") from error


def _near(path: str | Path) -> str:
    """A hint at the file of the same folder whose name is nearest, if one is near."""
    folder = Path(path).parent
    near = [] if _is_url(path) or not folder.is_dir() else get_close_matches(Path(path).name, os.listdir(folder), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _is_url(path: str | Path) -> bool:
    return "://" in str(path)


def _open_url(url: str) -> io.BufferedIOBase:
    import fsspec  # type: ignore[import-untyped]

    return cast(io.BufferedIOBase, fsspec.open(url, "rb").open())


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def as_text(value: Any) -> str:
    """A value as people write it: 1.0 is `1`, True is `true`, a missing value or NaN is empty, bytes are UTF-8.

    Raises UnicodeDecodeError for bytes that are none.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, bool | list | dict) else str(value)


def _decoded(file: _File) -> tuple[str, str | None]:
    """The file's text, and a notice where its encoding is a guess."""
    try:
        text, guess = decode(file.raw, file.encoding)
    except EncodingError as error:
        raise file.error(str(error)) from None
    return text, guess and f"is read as {guess}, a guess; if letters look wrong, set data.encoding"


def _delimited(file: _File, delimiter: str) -> Table:
    delimiter = file.delimiter or delimiter
    text, notice = _decoded(file)
    quotes = None
    try:
        records = list(_records(file, text, delimiter))
    except DataError:
        if delimiter != "\t":
            raise
        records, quotes = list(_records(file, text, delimiter, csv.QUOTE_NONE)), "quotes in it are read as text"
    (_, header), *rows = records
    _check_delimiter(file, header, delimiter)
    _check_names(file, header)
    for line, fields in rows:
        if len(fields) != len(header):
            raise file.error(_ragged(len(fields), len(header), delimiter), line)
    columns = {name: [fields[index] for _, fields in rows] for index, name in enumerate(header)}
    lines = [line for line, _ in rows]
    table = _table(file, columns, lines, notice)
    for told in (quotes, _long(columns, lines) if delimiter == "\t" else None):
        table = table.noting(told) if told else table
    return table


def _long(columns: Mapping[str, Sequence[str]], lines: Sequence[int]) -> str | None:
    """A notice where cells run over lines, which in a file between tabs is rarely meant."""
    rows = sorted(row for cells in columns.values() for row, cell in enumerate(cells) if "\n" in cell)
    if not rows:
        return None
    seen = "1 cell runs" if len(rows) == 1 else f"{len(rows)} cells run"
    where = f"from line {lines[rows[0]]} on"
    return f"{seen} over several lines between quotes, {where}; if these are text, write each of them twice"


def _table(file: _File, columns: Mapping[str, Sequence[str]], lines: Sequence[int], notice: str | None) -> Table:
    table = Table(columns, file.path, lines)
    return table.noting(notice) if notice else table


_QUOTES = {
    "unexpected end": "a quote opened in this row is never closed",
    "expected after": "a text in quotes goes on after the one that closes it; write quotes within a text twice",
}
"""What to say of quotes, by a part of what the csv module says."""


def _ragged(found: int, right: int, delimiter: str) -> str:
    seen = f"{found} field{'s' * (found != 1)}, where the header has {right}"
    if found < right:
        return f"{seen}; add what is missing, or remove the line"
    return f"{seen}; put a text that holds {delimiter!r} into double quotes"


def _records(
    file: _File, text: str, delimiter: str, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line it starts at; the last of them is the end mark's."""
    end = "\0"  # stands in no text we accept; within a field it tells that a quote swallowed the end of the file
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # a text may be as long as its file
    lines = chain(io.StringIO(text, newline=""), [end])
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    line = 1
    try:
        for record in reader:
            if record and record[-1].endswith(end):
                break
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        said = next((said for mark, said in _QUOTES.items() if mark in str(error)), str(error))
        raise file.error(said, line) from None


def _check_delimiter(file: _File, header: Sequence[str], delimiter: str) -> None:
    other = next((mark for mark in ";\t|," if mark != delimiter and mark in header[0]), None)
    if len(header) == 1 and other:
        named = {",": "commas", "\t": "tabs"}.get(delimiter, repr(delimiter))
        way = "tab" if other == "\t" else repr(other)
        raise file.error(
            f"the header is one column and contains {other!r}; set data.delimiter: {way}, or separate it by {named}"
        )


def _check_names(file: _File, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise file.error(f"column {twice!r} stands {names.count(twice)} times; give each column its own name")


def _json_lines(file: _File) -> Table:
    text, notice = _decoded(file)
    lines = enumerate(text.split("\n"), start=1)  # not splitlines: U+2028 may stand in a JSON string
    rows = [(number, _json_object(file, line, number)) for number, line in lines if line.strip()]
    names = dict.fromkeys(name for _, row in rows for name in row)
    columns = {name: [as_text(row.get(name)) for _, row in rows] for name in names}
    return _table(file, columns, [number for number, _ in rows], notice)


def _json(file: _File) -> Table:
    """An object a line, or a file in the format of SQuAD."""
    text, notice = _decoded(file)
    if not is_squad(text):
        return _json_lines(file)
    try:
        rows = list(questions(text))
    except SquadError as error:
        raise file.error(str(error)) from None
    table = Table({name: [row[name] for row in rows] for name in COLUMNS}, file.path)
    return table.noting(notice) if notice else table


def _json_object(file: _File, line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise file.error(
            f"broken JSON: {error.msg} at column {error.colno}; right is an object a line", number
        ) from None
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number or boolean")
        raise file.error(f"is {kind}; right is a JSON object a line", number)
    return value


def _parquet(file: _File) -> Table:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        stored = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(file.raw))
        _check_names(file, stored.schema_arrow.names)
        table = stored.read()
    except (pyarrow.ArrowException, OSError) as error:
        raise file.error(f"is no Parquet file that can be read: {first_line(error)}; write or copy it again") from None
    columns = zip(table.column_names, table.columns, strict=True)
    found, bytes_of = {}, []
    for name, column in columns:
        try:
            found[name] = [as_text(value) for value in column.to_pylist()]
        except UnicodeDecodeError:
            bytes_of.append(name)
    made = Table(found, file.path, range(1, table.num_rows + 1), counted="row")
    return made.noting(f"left out, as bytes that are no text: {', '.join(bytes_of)}") if bytes_of else made


def _xlsx(file: _File) -> Table:
    """The first sheet: its first row that is not blank names the columns."""
    try:
        found, notice = cells(file.raw)
    except SheetError as error:
        raise file.error(str(error)) from None
    grid = [(line, [as_text(cell) for cell in row]) for line, row in enumerate(found, start=1)]
    (_, header), *rows = [(line, row) for line, row in grid if any(row)] or [(1, [])]
    named = {index: name for index, name in enumerate(header) if name}
    _check_names(file, list(named.values()))
    for line, row in rows:
        if stray := next((cell for index, cell in enumerate(row) if cell and index not in named), None):
            raise file.error(f"the cell {stray[:30]!r} stands in a column without a name; name it", line)
    columns = {name: [row[index] if index < len(row) else "" for _, row in rows] for index, name in named.items()}
    return _table(file, columns, [line for line, _ in rows], notice)


def _conll(file: _File) -> Table:
    """The sentences as the columns `text` and `label`, a word and a tag at the same place."""
    text, notice = _decoded(file)
    try:
        found = list(sentences(text))
    except ConllError as error:
        raise file.error(str(error), error.line) from None
    columns = {"text": [cell_of(row.words) for row in found], "label": [cell_of(row.tags) for row in found]}
    return _table(file, columns, [row.line for row in found], notice)


_MARKS = {
    b"PK\x03\x04": ((".xlsx",), "an Excel file or another archive", "if it is Excel's, rename it to .xlsx"),
    b"\xd0\xcf\x11\xe0": ((), "an old Excel file (.xls)", "save it as .xlsx or CSV"),
    b"PAR1": ((".parquet",), "a Parquet file", "rename it to .parquet"),
    b"\x1f\x8b": ((), "compressed", "unpack it: gunzip"),
}
"""How files begin: for each the suffixes that are right, what it is, and what to do under another."""

READERS: Mapping[str, Callable[[_File], Table]] = {
    ".csv": partial(_delimited, delimiter=","),
    ".tsv": partial(_delimited, delimiter="\t"),
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
    **dict.fromkeys((".conll", ".iob", ".bio"), _conll),
}
