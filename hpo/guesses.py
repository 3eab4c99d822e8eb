"""What guesses are, and what they follow from: the rows, and where these are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from hpo import columns, strictyaml
from hpo.columns import Column
from hpo.roles import Roles
from objectives import sources, tokens
from objectives.errors import ModelError
from objectives.kinds import KINDS, Kind
from objectives.settings import Data, Model
from objectives.tables import Table

SAMPLED = 2000
"""Rows whose tokens are counted."""
_HTML = re.compile(r"</?(?:p|br|div|a|b|i|span|li)\b[^<>]*>|&(?:amp|lt|gt|quot|nbsp|#\d+);", re.IGNORECASE)
_HAN, _OTHER = re.compile("[\u3400-\u9fff]"), re.compile("[\u0370-\u1fff\u3040-\u30ff\uac00-\ud7af]")
_ENCODED = re.compile(r" is read as (\S+), a guess")


@dataclass(frozen=True)
class Guess:
    """A setting of the study file: its keys, its value, and why; `off` writes it as a comment."""

    keys: tuple[str, ...]
    value: Any
    why: str = ""
    off: bool = False

    @property
    def address(self) -> str:
        """As `--set` takes it."""
        return ".".join(key for key in self.keys if key != "objective")

    @property
    def written(self) -> str:
        """The value as the study file has it."""
        return _value(self.value)


@dataclass(frozen=True)
class Rows:
    """What guesses follow from."""

    table: Table
    roles: Roles
    groups: tuple[Column, ...] = ()
    splits: frozenset[str] = frozenset()
    """The roles, of train, valid and test, that have rows of their own; none where one table is divided."""

    @property
    def kind(self) -> Kind:
        """The kind of task that the rows are for."""
        return KINDS[self.roles.kind]

    @cached_property
    def empty(self) -> int:
        """Rows with a blank cell where there must be something."""
        label = None if self.kind.blank else self.roles.label
        needed = [column.values for column in (*self.roles.read, label) if column is not None]
        return sum(not all(map(str.strip, row)) for row in zip(*needed, strict=True))

    @cached_property
    def repeated(self) -> int:
        """Rows whose text stood before, with the same second one where there are two."""
        return len(self.texts) - len({*self.texts})

    @cached_property
    def texts(self) -> list[str]:
        """What is read of each row, blank rows left out, a pair as one text."""
        if self.roles.pair is None:
            return self.roles.text.filled
        both = zip(self.roles.text.values, self.roles.pair.values, strict=True)
        return [f"{first} {second}" for first, second in both if first.strip() and second.strip()]

    @cached_property
    def scripts(self) -> tuple[float, float]:
        """The shares of Chinese letters, and of letters that are neither Latin nor Chinese."""
        written = "".join(self.texts[:SAMPLED])
        letters = sum(map(str.isalpha, written)) or 1
        return len(_HAN.findall(written)) / letters, len(_OTHER.findall(written)) / letters

    @property
    def html(self) -> str | None:
        """How many of the first texts have tags or entities in them; None for few."""
        texts = self.roles.text.filled[:SAMPLED]
        marked = sum(_HTML.search(text) is not None for text in texts)
        return f"{counted(marked, 'row')} of the first {len(texts)}" if marked >= 0.01 * len(texts) else None

    @property
    def imbalance(self) -> float:
        """The largest class over the smallest; 1 where a row has no single class."""
        if not self.kind.classes or self.roles.label is None:
            return 1.0
        counts = self.roles.label.counts.values()
        return max(counts) / min(counts)


def counted(count: int, what: str) -> str:
    """A number of things, such as `3 rows`."""
    return f"{count} {what}{'s' * (count != 1)}"


def lengths(texts: Sequence[str], model: str) -> tuple[list[int], str]:
    """Tokens of some of the texts, sorted, and how they were counted."""
    texts = texts[:: max(1, len(texts) // SAMPLED)]
    try:
        found = tokens.count(sources.find(Model(name=model)), texts)
    except ModelError:
        found = None
    counts = found.lengths if found else [round(columns.words(text) * 1.4) + 2 for text in texts]
    return sorted(counts), "tokens" if found else "tokens, estimated from words"


def most_tokens(texts: Sequence[str], model: str, limit: int) -> tuple[int, int, str]:
    """The tokens that 95 % of the texts have at most, rounded up and no more than a limit; the same as they are, and
    how they were counted."""
    found, how = lengths(texts, model)
    most = found[int(0.95 * (len(found) - 1))]
    return min(limit, -(-most // 16) * 16), most, how


def in_file(table: Table, path: str, encoding: str | None, delimiter: tuple[str, str] | None) -> Iterator[Guess]:
    """Where rows of a file are, with the encoding if it is given, and the delimiter and where that is from."""
    is_whole = "://" in path or os.path.isabs(path)
    yield Guess(("path",), path, "where the rows are" if is_whole else "counts from this file's folder")
    if encoding:
        yield Guess(("encoding",), encoding, "as given")
    elif found := next(filter(None, map(_ENCODED.search, table.notices)), None):
        yield Guess(("encoding",), found[1], "a guess; utf-8, gb18030, big5 or cp1252 if letters look wrong")
    if delimiter:
        yield Guess(("delimiter",), *delimiter)


def on_hub(data: Data, rows: Mapping[str, int]) -> Iterator[Guess]:
    """Where rows of the hub are, which has so many in each split."""
    counted = ", ".join(f"{name} {count}" for name, count in rows.items())
    yield Guess(("hub",), data.hub, f"a data set of the hub; rows: {counted}")
    if data.config:
        yield Guess(("config",), data.config, "the data set's configuration, as given")


def _value(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_value(inner)}' for name, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str) and not _plain(value):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and 0 < value < 0.01:
        return f"{Decimal(str(value)).normalize():e}"  # 1e-3, as learning rates are written
    return value if isinstance(value, str) else json.dumps(value)


def _plain(text: str) -> bool:
    """Whether YAML reads the text without quotes as itself."""
    if not re.fullmatch(r"[^\W\d][\w./-]*( [\w.-]+)*|(\.\.?)?/[\w./-]+", text):
        return False
    return bool(strictyaml.loads(text, "") == text)
