"""A data set of the hub as tables: its splits, its classes by name, its images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from objectives import hub
from objectives.errors import DataError, without_login
from objectives.naming import address, check_columns, listed
from objectives.settings import Data
from objectives.tables import Table, as_text, first_line

ROLES = ("train", "valid", "test")
_USUAL = {"train": ["train"], "valid": ["validation", "valid"], "test": ["test"]}
IMAGE = ".image"
"""How a cell ends that stands for an image: its split, its row, and this."""


@dataclass(frozen=True)
class Published:
    """A data set of the hub at a first look: its training rows, and which of their columns hold classes.

    `rows` is how many rows each split has, `roles` which split trains, validates and tests.
    """

    table: Table
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    roles: Mapping[str, str]


def published(data: Data) -> Published:
    """The data set `data.hub`; raises DataError."""
    splits = loaded(data)
    chosen = roles(data, list(splits))
    train = splits[chosen["train"]]
    read = [name for name, feature in train.features.items() if _is_image(train, name) or not _holds_files(feature)]
    rows = _table(f"{data.hub}, {chosen['train']}", chosen["train"], train, read)
    classes = tuple(name for name, feature in train.features.items() if hasattr(feature, "int2str"))
    return Published(rows, classes, {name: len(split) for name, split in splits.items()}, chosen)


def loaded(data: Data) -> Mapping[str, Any]:
    """The splits of `data.hub` by name, as `datasets` gives them; raises DataError."""
    import datasets

    try:
        return datasets.load_dataset(data.hub, data.config, revision=data.revision)  # type: ignore[no-any-return]
    except Exception as error:  # what it raises depends on the hub, the network and the data set's files
        if reason := hub.why_no_data_set(str(data.hub), data.revision):  # datasets hides what the hub said
            raise DataError("data.hub", f"cannot load {data.hub!r}: {reason}") from error
        why = f"{type(error).__name__}: {without_login(first_line(error))}"
        raise DataError("data.hub", f"cannot load {data.hub!r} ({why}); check its name and the network") from error


def roles(data: Data, names: Sequence[str]) -> dict[str, str]:
    """The split for each role: those named, and the usual ones where training rows are not named; raises DataError.

    No split has two roles: rows that validate choose, and are none to test on.
    """
    named = {role: name for role in ROLES if (name := getattr(data, role))}
    found = {role: next((name for name in _USUAL[role] if name in names), None) for role in ROLES}
    usual = {role: None if data.train or name in named.values() else name for role, name in found.items()}
    wanted = {**usual, **named}
    wanted["train"] = wanted["train"] or "train"
    for role, name in wanted.items():
        other = next((before for before in ROLES if name and wanted[before] == name), role)
        if other != role:
            raise DataError(f"data.{role}", f"{name!r} is data.{other}, too; right is a split for each of them")
        if name and name not in names:
            raise DataError(f"data.{role}", f"{data.hub!r} has no split {name!r}; found {listed(names, name)}")
    return {role: name for role, name in wanted.items() if name}


def table(data: Data, name: str, rows: Any, columns: Collection[str], images: bool = False) -> Table:
    """These columns of a split; raises DataError. With `images` those of `data.text` are some, and nothing else is."""
    source = f"{data.hub}, {name}"
    check_columns(source, rows.column_names, data, columns)
    for column in columns:
        wanted = images and column == data.text
        if wanted != _is_image(rows, column) or (not wanted and _holds_files(rows.features[column])):
            held = "no images" if wanted else "images" if _is_image(rows, column) else "files, or images within others"
            right = "a column of them" if wanted else "texts, classes or numbers"
            raise DataError(address(data, column), f"{source}: column {column!r} holds {held}; right is {right}")
    return _table(source, name, rows, columns)


def _table(source: str, name: str, rows: Any, columns: Collection[str]) -> Table:
    pictures = [column for column in columns if _is_image(rows, column)]
    found = {
        column: (_cells(rows, column, name) if column in pictures else _column(rows, column)) for column in columns
    }
    files = _files(rows, pictures[0]) if pictures else None
    return Table(found, source, range(1, len(rows) + 1), files=files, counted="row")


def _cells(rows: Any, column: str, name: str) -> list[str]:
    """What stands for each image; empty where a row has none."""
    missing = rows.select_columns([column]).with_format("arrow")[:][column].is_null().to_pylist()
    return ["" if none else f"{name}/{row}{IMAGE}" for row, none in enumerate(missing)]


def _files(rows: Any, column: str) -> Callable[[str], bytes]:
    """What reads the image of a cell."""
    import datasets
    import fsspec  # type: ignore[import-untyped]

    plain = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))

    def read(cell: str) -> bytes:
        found = plain[int(cell.rpartition("/")[2].removesuffix(IMAGE))][column]
        if found["bytes"] is not None:
            return bytes(found["bytes"])
        if found["path"] is None:
            raise OSError("the row has neither its bytes nor its path")
        with fsspec.open(found["path"]) as stream:  # also within an archive
            return bytes(stream.read())

    return read


def _is_image(rows: Any, column: str) -> bool:
    import datasets

    return isinstance(rows.features[column], datasets.Image)


def _holds_files(feature: Any) -> bool:
    """Whether values are files, such as images or sound, or have some within: bytes that are no text."""
    if isinstance(feature, dict):
        return any(map(_holds_files, feature.values()))
    within = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    if within is not None:
        return _holds_files(within)
    return hasattr(feature, "embed_storage") or "binary" in str(getattr(feature, "dtype", ""))


def _column(rows: Any, column: str) -> list[str]:
    """A column as text, a class by its name, lists of classes, too; hubs mark rows without a class with -1."""
    feature = rows.features[column]
    name, several = (getattr(one, "int2str", None) for one in (feature, getattr(feature, "feature", None)))
    if name is None:
        return [as_text(several(value) if several and value else value) for value in rows[column]]
    return [name(value) if value is not None and value >= 0 else "" for value in rows[column]]
