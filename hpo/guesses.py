"""What a study of some rows would be: a guess for every setting, and why."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from hpo import columns, strictyaml
from hpo.columns import Column
from objectives import sources, tokens
from objectives.errors import ModelError
from objectives.settings import Data, Model
from objectives.tables import Table

_SAMPLED = 2000
"""Rows whose tokens are counted."""
_LONGEST = 512
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
    text: Column
    label: Column
    groups: tuple[Column, ...]
    splits: frozenset[str] = frozenset()
    """The roles, of train, valid and test, that have rows of their own; none where one table is divided."""
    others: tuple[Column, ...] = ()

    @cached_property
    def empty(self) -> int:
        """Rows without a text or a label."""
        pairs = zip(self.text.values, self.label.values, strict=True)
        return sum(not (text.strip() and label.strip()) for text, label in pairs)

    @cached_property
    def repeated(self) -> int:
        """Rows whose text stood before."""
        return len(self.text.filled) - len(self.text.counts)

    @cached_property
    def model(self) -> tuple[str, str]:
        """A model for the script of the texts, and why."""
        written = "".join(self.text.filled[:_SAMPLED])
        letters = sum(map(str.isalpha, written)) or 1
        han, other = (len(script.findall(written)) / letters for script in (_HAN, _OTHER))
        if other > 0.2:
            return "xlm-roberta-base", f"{other:.0%} of the letters are not Latin; needs a download from the hub"
        if han > 0.2:
            return "bert-base-chinese", f"{han:.0%} of the letters are Chinese; needs a download from the hub"
        return "minilm", "small, English; or a hub id such as distilbert-base-uncased"

    @cached_property
    def lengths(self) -> tuple[list[int], str]:
        """Tokens of some texts, sorted, and how they were counted."""
        texts = self.text.filled[:: max(1, len(self.text.filled) // _SAMPLED)]
        try:
            found = tokens.count(sources.find(Model(name=self.model[0])), texts)
        except ModelError:
            found = None
        counts = found.lengths if found else [round(columns.words(text) * 1.4) + 2 for text in texts]
        return sorted(counts), "tokens" if found else "tokens, estimated from words"

    @property
    def imbalance(self) -> float:
        """The largest class over the smallest."""
        counts = self.label.counts.values()
        return max(counts) / min(counts)


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


def guess(rows: Rows, place: Iterable[Guess]) -> Iterator[Guess]:
    """All settings but the study's name, in the order of a study file; `place` is where the rows are."""
    yield Guess(("objective", "task"), "text-classification", "one class for each text")
    yield Guess(("objective", "model", "name"), *rows.model)
    for one in (*place, *_data(rows), *_cleaning(rows)):
        yield replace(one, keys=("objective", "data", *one.keys))
    yield Guess(("objective", "training", "epochs"), _epochs(rows), f"for {len(rows.table)} rows; more rows need fewer")
    yield from _search(rows)
    yield from _judged(rows)


def _data(rows: Rows) -> Iterator[Guess]:
    yield Guess(("text",), rows.text.name, f"the column to read: {rows.text.described}{_or(rows.others)}")
    classes = f"{len(rows.label.counts)} classes: {_shares(rows.label)}"
    yield Guess(("label",), rows.label.name, f"the column to predict: {classes}")
    for column in rows.groups:
        seen = f"{column.described}; turn on if rows with the same one belong together"
        yield Guess(("group",), column.name, seen, off=True)
    if not rows.splits:
        yield Guess(("split",), _split(rows), "shares; the rest trains")
    elif "valid" not in rows.splits:
        split = _split(rows)
        kept = {"valid": split["valid"]} if "test" in rows.splits else split
        yield Guess(("split",), kept, "shares of train: there are no validation rows; the rest trains")
    yield _max_length(rows)


def _or(others: tuple[Column, ...]) -> str:
    return f"; or {' or '.join(column.name for column in others)}, as long" if others else ""


def _max_length(rows: Rows) -> Guess:
    lengths, counted = rows.lengths
    most = lengths[int(0.95 * (len(lengths) - 1))]
    rounded = min(_LONGEST, -(-most // 16) * 16)
    return Guess(("max_length",), rounded, f"95 % of the texts have at most {most} {counted}")


def _cleaning(rows: Rows) -> Iterator[Guess]:
    if rows.empty:
        yield Guess(("clean", "drop_empty"), True, f"{_counted(rows.empty, 'row')} without a text or a label")
    if rows.repeated:
        yield Guess(
            ("clean", "deduplicate"),
            True,
            f"{_counted(rows.repeated, 'text')} said before: some would stand in two splits",
        )
    texts = rows.text.filled[:_SAMPLED]
    marked = sum(_HTML.search(text) is not None for text in texts)
    if marked >= 0.01 * len(texts):
        why = f"tags or entities in {_counted(marked, 'row')} of the first {len(texts)}"
        yield Guess(("clean", "strip_html"), True, why)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _shares(label: Column) -> str:
    most = label.counts.most_common(5)
    shown = ", ".join(f"{' '.join(name.split())[:30]} {count / len(label.filled):.0%}" for name, count in most)
    return shown + ", ..." * (len(label.counts) > len(most))


def _split(rows: Rows) -> dict[str, float]:
    size = 0.25 if len(rows.table) < 500 else 0.2 if len(rows.table) < 20_000 else 0.1
    return {"valid": size, "test": size}


def _epochs(rows: Rows) -> int:
    return next((epochs for most, epochs in ((500, 8), (2000, 5), (10_000, 3)) if len(rows.table) < most), 2)


def _search(rows: Rows) -> Iterator[Guess]:
    small = rows.model[0] == "minilm"
    yield _ranged("training.learning_rate", {"low": 1e-5, "high": 1e-3 if small else 1e-4, "log": True})
    yield _ranged("training.batch_size", [4, 8, 16] if len(rows.table) < 200 else [8, 16, 32])
    yield _ranged("training.warmup_ratio", {"low": 0.0, "high": 0.2})
    blocks = 6 if small else 12
    yield _ranged("model.frozen_layers", {"low": 0, "high": blocks}, f"0 trains all, {blocks} only the head")
    if rows.imbalance >= 3:
        seen = f"the largest class has {rows.imbalance:.0f} times the rows of the smallest"
        yield _ranged("training.class_weights", ["none", "balanced"], seen)


def _ranged(address: str, value: Any, why: str = "") -> Guess:
    return Guess(("search", address), value, why)


def _judged(rows: Rows) -> Iterator[Guess]:
    yield Guess(("sampler",), "tpe")
    yield Guess(("pruner",), "percentile", "stops the worst quarter at each evaluation")
    if rows.imbalance >= 3:
        yield Guess(("metric",), "f1_macro", "the classes differ in size, and all count the same")
    else:
        yield Guess(("metric",), "val_loss", "the classes are of similar size; else f1_macro")
    trials = 20 if len(rows.table) < 5000 else 12
    yield Guess(("trials",), trials, "the budget, pruned trials included")
    yield Guess(("seed",), 0)


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
