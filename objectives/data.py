"""Rows for a trial: from files or a hub, checked, divided, in the order of each epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from objectives import domains, folders, hub
from objectives.cleaning import clean
from objectives.errors import DataError, without_login
from objectives.settings import Data
from objectives.splits import Rows, are_classes, divide, few, shuffled
from objectives.tables import Table, as_text, first_line, open_binary, read

__all__ = ["Reads", "Splits", "Table", "classes", "fingerprint", "load", "order", "read"]

ROLES = ("train", "valid", "test")
_ROLES = {"train": "training", "valid": "validation", "test": "test"}
LISTED = 20
"""How many names an error lists."""


@dataclass(frozen=True)
class Splits:
    """The rows of a trial; `test` is None unless it was asked for and there is one."""

    train: Table
    valid: Table
    test: Table | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines about how the rows were read and cleaned, each once."""
        tables = [table for table in (self.train, self.valid, self.test) if table is not None]
        return tuple(dict.fromkeys(notice for table in tables for notice in table.notices))


@dataclass(frozen=True)
class Reads:
    """The columns that are read, the one whose classes divide the rows, and those where a cell may be empty.

    `maybe` are read where they are there. With `images` the cells of `data.text` are paths of images, which may come
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
    sources = _hub(data, [*named], reads.maybe) if data.hub else _files(data, reads.images)
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


@dataclass(frozen=True)
class Published:
    """A data set of the hub at a first look: its training rows with all columns, and which of these hold classes.

    `rows` is how many rows each split has, `roles` which split trains, validates and tests.
    """

    table: Table
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    roles: Mapping[str, str]


def published(data: Data) -> Published:
    """The data set `data.hub`; raises DataError."""
    loaded = _loaded(data)
    roles = _hub_roles(data, list(loaded))
    train = loaded[roles["train"]]
    table = _hub_table(data, roles["train"], train, train.column_names)
    classes = tuple(name for name, feature in train.features.items() if hasattr(feature, "int2str"))
    return Published(table, classes, {name: len(rows) for name, rows in loaded.items()}, roles)


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
        prints = sorted((name, rows._fingerprint) for name, rows in _loaded(data).items())
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


def _hub(data: Data, columns: Sequence[str], maybe: Collection[str]) -> dict[str, Callable[[], Table]]:
    loaded = _loaded(data)
    there = {name: [*columns, *(each for each in maybe if each in rows.column_names)] for name, rows in loaded.items()}
    roles = _hub_roles(data, list(loaded))
    return {role: partial(_hub_table, data, name, loaded[name], there[name]) for role, name in roles.items()}


def _loaded(data: Data) -> Mapping[str, Any]:
    """A hub data set's splits by name, as `datasets` gives them."""
    import datasets

    try:
        return datasets.load_dataset(data.hub, data.config, revision=data.revision)  # type: ignore[no-any-return]
    except Exception as error:  # what it raises depends on the hub, the network and the data set's files
        if reason := hub.why_no_data_set(str(data.hub), data.revision):  # datasets hides what the hub said
            raise DataError("data.hub", f"cannot load {data.hub!r}: {reason}") from error
        why = f"{type(error).__name__}: {without_login(first_line(error))}"
        raise DataError("data.hub", f"cannot load {data.hub!r} ({why}); check its name and the network") from error


def _hub_roles(data: Data, names: Sequence[str]) -> dict[str, str]:
    """The hub's split for each role: those named, and the usual ones where training rows are not named."""
    usual = {"train": ["train"], "valid": ["validation", "valid"], "test": ["test"]}
    found = {role: next((name for name in usual[role] if name in names), None) for role in ROLES}
    roles = {role: getattr(data, role) or (None if data.train else found[role]) for role in ROLES}
    roles["train"] = roles["train"] or "train"
    for role, name in roles.items():
        if name and name not in names:
            raise DataError(f"data.{role}", f"{data.hub!r} has no split {name!r}; found {_listed(names, name)}")
    return {role: name for role, name in roles.items() if name}


def _hub_table(data: Data, name: str, rows: Any, columns: Collection[str]) -> Table:
    source = f"{data.hub}, {name}"
    _check_columns(source, rows.column_names, data, columns)
    return Table({column: _hub_column(rows, column) for column in columns}, source)


def _hub_column(rows: Any, column: str) -> list[str]:
    """A column as text, a class by its name, lists of classes, too; hubs mark rows without a class with -1."""
    feature = rows.features[column]
    name, listed = (getattr(one, "int2str", None) for one in (feature, getattr(feature, "feature", None)))
    if name is None:
        return [as_text(listed(value) if listed and value else value) for value in rows[column]]
    return [name(value) if value is not None and value >= 0 else "" for value in rows[column]]


def _checked(table: Table, data: Data, reads: Reads, beside: Collection[str]) -> Table:
    columns = [*reads.columns, *(name for name in reads.maybe if name in table.columns)]
    every = tuple(dict.fromkeys([*columns, *beside]))
    _check_columns(table.source, list(table.columns), data, every)
    table = clean(table.select(every), data, columns, reads.blank)
    filled = [name for name in columns if name not in reads.blank]
    empty = {name: [row for row, value in enumerate(table.column(name)) if not value.strip()] for name in filled}
    found = {name: rows for name, rows in empty.items() if rows}
    if found:
        (column, rows), *others = found.items()
        seen = f"column {column!r} is empty, as in {len(rows)} of {len(table)} rows"
        seen += "".join(f", and column {name!r} in {len(more)}" for name, more in others)
        raise DataError(
            _key(data, column), f"{table.place(rows[0])}: {seen}; fill or remove them, as data.clean.drop_empty does"
        )
    return table


def _check_columns(source: str, found: Sequence[str], data: Data, columns: Collection[str]) -> None:
    for column in columns:
        if column not in found:
            message = f"{source} has no column {column!r}; found {_listed(found, column)}"
            raise DataError(_key(data, column), message)


def _key(data: Data, column: str) -> str:
    if column in data.where.columns:
        return f"data.where.{column}"
    return next(
        (f"data.{key}" for key in ("text", "pair", "label", "group", "slice") if getattr(data, key) == column), "data"
    )


def _listed(found: Sequence[str], wanted: str) -> str:
    near = get_close_matches(wanted, found, n=1)
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more + (f"; did you mean {near[0]!r}?" if near else "")


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
        raise DataError("data.label", f"{table.place(row)}: {seen}; found {_listed(known, values[row])}")
