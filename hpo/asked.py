"""The rows that a model was asked about, read again from the data where it is the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hpo.errors import StudyError
from hpo.space import Value
from hpo.spec import StudySpec, settings_for
from objectives import kinds, settings
from objectives.data import Table
from objectives.errors import DataError
from objectives.settings import Transfer


@dataclass(frozen=True)
class Asked:
    """The rows [rows] of a split in its order: what the model read, where each stands, the value of the slice's column.

    Where they cannot be had, `missing` says why, and the others are empty.
    """

    texts: Sequence[str] = ()
    places: Sequence[str] = ()
    values: Sequence[str] = ()
    missing: str | None = None


@dataclass(frozen=True)
class Where:
    """Which rows: a split ("valid" or "test"), the column of the slices, the fingerprint that the study was made with,
    and where relative paths count from on this machine."""

    split: str
    slice: str | None
    fingerprint: str | None
    root: Path | None = None


def ask(spec: StudySpec, params: Mapping[str, Value], where: Where) -> Asked:
    """The rows as the trial with these parameters read them.

    They are missing where the data is not on this machine, or is not what the study was made with. Raises StudyError
    where it is, and has no such column.
    """
    wanted = settings_for(spec, params, where.root)
    if not isinstance(wanted, Transfer):
        return Asked(missing="a simulated objective has no rows")
    beside = [where.slice] if where.slice else []
    wanted = cast(Transfer, settings.replace(wanted, {"data.slice": where.slice}))
    try:
        if kinds.fingerprint(wanted.task, wanted.data) != where.fingerprint:
            return Asked(missing="the rows on this machine are not those of the study: their fingerprint is another")
        seed, test = settings.split_seed(wanted), where.split == "test"
        splits = kinds.load(wanted.task, wanted.data, seed, beside=beside, test=test)
    except DataError as error:
        if error.key == "data.slice":
            raise StudyError(f"{spec.study}: {error}") from error
        return Asked(missing=f"the rows cannot be read on this machine: {error}")
    table = splits.test if where.split == "test" else splits.valid
    return _of(table, wanted.data.text, where.slice) if table is not None else Asked(missing="there are no test rows")


def _of(table: Table, text: str, slice_: str | None) -> Asked:
    places = [table.where(row) for row in range(len(table))]
    return Asked(table.column(text), places, table.column(slice_) if slice_ else ())
