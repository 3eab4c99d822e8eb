"""Rows for a trial: from files or a hub, checked, divided, in the order of each epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from objectives import domains, folders, published
from objectives.cleaning import clean
from objectives.errors import DataError
from objectives.naming import address, check_columns, listed
from objectives.published import ROLES
from objectives.settings import Data
from objectives.splits import Rows, are_classes, divide, few, shuffled
from objectives.tables import Table, open_binary, read

__all__ = ["Reads", "Splits", "Table", "classes", "fingerprint", "load", "order", "read"]

_ROLES = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Splits:
    """The rows of a trial; `test` is None unless it was asked for and there is one."""

    train: Table
    valid: Table
    test: Table | None = None

    @property
    def tables(self) -> list[Table]:
        """Those that there are."""
        return [table for table in (self.train, self.valid, self.test) if table is not None]

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines about how the rows were read and cleaned, each once."""
        return tuple(dict.fromkeys(notice for table in self.tables for notice in table.notices))


@dataclass(frozen=True)
class Reads:
    """The columns that are read, the one whose classes divide the rows, and those where a cell may be empty.

    `maybe` are read where they are there. With `images` the cells of `data.text` stand for images, which may come
    without a table.
    """

    columns: Sequence[str]
    strata: str | None = None
    blank: Collection[str] = ()
    maybe: Collection[str] = ()
    images: bool = False


def load(
    data: Data,
    seed: int,
    *,
    reads: Reads | None = None,
    beside: Sequence[str] = (),
    test: bool = False,
    draw: int | None = None,
) -> Splits:
    """The rows to train, validate and (with `test`) test on, cleaned and checked.

    What it `reads` is by default a text and its class; the group is added. Each column must be there, and filled in
    every row but where it may be empty.
    Columns `beside` them come along as they are: they change neither which rows there are nor how they are divided,
    and training rows of their own need not have them.
    One file is divided by `data.split`, the same on every machine for the same seed; the test rows are set aside
    whether asked for or not. Files and a hub's splits are taken as they are, except that training rows of a hub
    without validation rows are divided. Of each split those are kept that `data.where` picks: a study of a part of the
    rows and one of all set aside the same ones. `data.shots` are drawn from the training rows by the seed `draw`, by
    default `seed`; the others stay. Raises DataError, also where `data.score` asks for test rows and there are none.
    """
    reads = reads or Reads((data.text, data.label), data.label)
    wanted = dict.fromkeys([*reads.columns, *([data.group] if data.group else [])])
    test = test or data.score == "test"
    where = tuple(data.where.columns)
    named = (*wanted, *beside, *where)
    sources = _hub(data, [*named], reads) if data.hub else _files(data, reads.images)
    own = "train" if "valid" in sources else None  # the file whose rows are looked at by no column beside
    reads = replace(reads, columns=[*wanted])
    tables = {
        role: _checked(sources[role](), data, reads, where if role == own else (*beside, *where))
        for role in sources
        if test or role != "test"
    }
    domains.check(tables["train"], data)
    if "valid" not in sources:
        whole = tables["train"]
        rows = _division(whole, data, seed, reads.strata, set_aside="test" in sources)
        tables |= {"train": whole.take(rows.train), "valid": whole.take(rows.valid)}
        tables |= {"test": whole.take(rows.test)} if test and rows.test else {}
    tables = {role: domains.kept(table, data, _ROLES[role]) for role, table in tables.items()}
    tables["train"] = taught(tables["train"], data, seed if draw is None else draw)
    if data.score == "test" and "test" not in tables:
        key = "data.split.test" if data.path else "data.test"
        raise DataError(key, "there are no test rows to score; right is a share above 0, or rows of their own")
    return Splits(**tables)


def taught(train: Table, data: Data, draw: int) -> Table:
    """Those of the training rows that are trained on, drawn where `data.shots` asks for few; raises DataError."""
    return train if data.shots is None else train.take(few(train.column(data.label), data.shots, draw))


def classes(splits: Splits, label: str) -> tuple[str, ...]:
    """The labels of the training rows, sorted; raises DataError where they are no classes to learn and validate."""
    train, valid = splits.train.column(label), splits.valid.column(label)
    known = tuple(sorted(set(train)))
    if len(known) == 1:
        raise DataError("data.label", f"every training row has the label {known[0]!r}; right is two classes or more")
    if not are_classes(len(known), len(train) + len(valid)):
        seen = f"{len(known)} different labels to train on in {len(train) + len(valid)} rows of column {label!r}"
        advice = f"right is a column of classes, each in several rows{_swapped(splits, label)}"
        raise DataError("data.label", f"{seen}; {advice}")
    for name, table in (("validation", splits.valid), ("test", splits.test)):
        if table is not None:
            _check_known(table, label, known, name)
    return known


def _swapped(splits: Splits, label: str) -> str:
    """A hint where the column that is read holds classes, and the one that is predicted does not."""
    text = next((name for name in splits.train.columns if name != label), label)
    different = len(set(splits.train.column(text)))
    return ": swap data.text and data.label" if text != label and are_classes(different, len(splits.train)) else ""


def fingerprint(data: Data, images: bool = False) -> str:
    """What tells these rows from others: sha256 over the files' bytes, wherever they lie, or over the hub's words.

    With `images` those are among the files. Raises DataError.
    """
    digest = hashlib.sha256()
    if data.hub:
        prints = sorted((name, rows._fingerprint) for name, rows in published.loaded(data).items())
        digest.update(repr((data.hub, data.config, data.revision, prints)).encode())
    for role, key in _keys(data).items():
        path = getattr(data, key)
        if not (images and Path(path).is_dir()):
            with open_binary(path, f"data.{key}") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        if images and not path.lower().endswith(".zip"):  # which holds its own
            digest.update(folders.digest(_files(data, images)[role](), data.text, f"data.{key}"))
    return digest.hexdigest()


def order(rows: int, seed: int, epoch: int) -> list[int]:
    """The order of an epoch's rows: a function of these three alone."""
    return shuffled(rows, "order", seed, epoch)


def _keys(data: Data) -> dict[str, str]:
    """The setting that names the file of each role."""
    if data.hub:
        return {}
    return {"train": "path"} if data.path else {role: role for role in ROLES if getattr(data, role)}


def _files(data: Data, images: bool = False) -> dict[str, Callable[[], Table]]:
    table = partial(read, encoding=data.encoding, delimiter=data.delimiter)
    found = {role: (getattr(data, key), f"data.{key}") for role, key in _keys(data).items()}
    return {
        role: partial(folders.read if images and folders.are_here(path) else table, path, key)
        for role, (path, key) in found.items()
    }


def _hub(data: Data, columns: Sequence[str], reads: Reads) -> dict[str, Callable[[], Table]]:
    loaded = published.loaded(data)
    roles = published.roles(data, list(loaded))
    there = {name: [each for each in reads.maybe if each in rows.column_names] for name, rows in loaded.items()}
    return {
        role: partial(published.table, data, name, loaded[name], [*columns, *there[name]], reads.images)
        for role, name in roles.items()
    }


def _checked(table: Table, data: Data, reads: Reads, beside: Collection[str]) -> Table:
    columns = [*reads.columns, *(name for name in reads.maybe if name in table.columns)]
    every = tuple(dict.fromkeys([*columns, *beside]))
    check_columns(table.source, list(table.columns), data, every)
    table = clean(table.select(every), data, columns, reads.blank, images=reads.images)
    filled = [name for name in columns if name not in reads.blank]
    empty = {name: [row for row, value in enumerate(table.column(name)) if not value.strip()] for name in filled}
    found = {name: rows for name, rows in empty.items() if rows}
    if found:
        (column, rows), *others = found.items()
        seen = f"column {column!r} is empty, as in {len(rows)} of {len(table)} rows"
        seen += "".join(f", and column {name!r} in {len(more)}" for name, more in others)
        raise DataError(
            address(data, column), f"{table.place(rows[0])}: {seen}; fill or remove them, as data.clean.drop_empty does"
        )
    return table


def _division(table: Table, data: Data, seed: int, strata: str | None, set_aside: bool) -> Rows:
    """The rows of each split of one table; none to test on where test rows are `set_aside` already."""
    split = data.split.model_copy(update={"test": 0}) if set_aside else data.split
    groups = table.column(data.group) if data.group else None
    return divide(split, seed, len(table), table.columns[strata] if strata else None, groups)


def _check_known(table: Table, label: str, known: Sequence[str], name: str) -> None:
    values = table.column(label)
    if strange := set(values).difference(known):
        row = next(row for row, value in enumerate(values) if value in strange)
        seen = f"label {values[row]!r} of the {name} rows stands in no training row"
        raise DataError("data.label", f"{table.place(row)}: {seen}; found {listed(known, values[row])}")
