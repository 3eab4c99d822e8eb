"""A first study file for a file of rows: every setting a guess that says why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo import columns, spec
from hpo.columns import Column
from hpo.errors import HpoError, SpecError
from hpo.guesses import Guess, Rows, guess
from objectives import tables
from objectives.errors import DataError


@dataclass(frozen=True)
class Draft:
    """A study file that is not written yet: what was guessed from which rows."""

    path: Path
    file: str
    table: tables.Table
    text: Column
    label: Column
    guesses: tuple[Guess, ...]

    @property
    def examples(self) -> list[tuple[str, str]]:
        """Text and label of two rows, of different classes."""
        rows = [pair for pair in zip(self.text.values, self.label.values, strict=True) if all(map(str.strip, pair))]
        return [rows[0], next((row for row in rows if row[1] != rows[0][1]), rows[-1])]

    def __str__(self) -> str:
        head = f"# From {os.path.basename(self.file)}, {len(self.table)} rows. The guesses and why; mend what is wrong."
        return "\n".join([head, *_lines(self.guesses)]) + "\n"


def draft(
    file: str, out: Path | None = None, *, text: str | None = None, label: str | None = None, study: str | None = None
) -> Draft:
    """What a study of the rows in a file would be, with columns and name as given or guessed.

    Raises HpoError where the file cannot be read or holds nothing to classify.
    """
    table, delimiter = _read(file)
    found = columns.profile(table)
    try:
        _check(table)
        read = columns.text_of(found, text, label)
        predicted = columns.label_of(found, label, read.name)
    except HpoError as error:
        raise HpoError(f"{file}: {error}") from None
    name = study or _name(file)
    path = out or Path(f"{name}.yaml")
    rows = Rows(table, read, predicted, tuple(columns.groups_of(found, read.name, predicted.name)))
    guesses = (Guess(("study",), name, "its name in the database"), *guess(rows, _from(file, path), delimiter))
    return Draft(path, file, table, read, predicted, guesses)


def write(made: Draft, force: bool = False) -> None:
    """Write the study file, whole and checked as `hpo check` does; raises HpoError where it is there already."""
    path, part = made.path, made.path.with_name(f".{made.path.name}.{os.getpid()}")
    if path.exists() and not force:
        raise HpoError(f"{path} is there already; give another with -o, or overwrite it with --force")
    try:
        part.write_text(str(made), "utf-8")
        spec.check_inputs(spec.load(part), source=made.file)
        part.replace(path)
    except SpecError as error:
        raise HpoError(str(error).replace(str(part), str(path))) from error
    except OSError as error:
        raise HpoError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _read(file: str) -> tuple[tables.Table, str | None]:
    """The rows, and the delimiter where it is not the suffix's own."""
    try:
        return tables.read(file, "FILE"), None
    except DataError as error:
        other = re.search(r"set data\.delimiter: (tab|'(.)')", str(error))
        if other is None:
            raise HpoError(str(error).removeprefix("FILE: ")) from error
    delimiter = other[2] or "tab"
    try:
        return tables.read(file, "FILE", delimiter="\t" if delimiter == "tab" else delimiter), delimiter
    except DataError as error:
        raise HpoError(str(error).removeprefix("FILE: ")) from error


def _check(table: tables.Table) -> None:
    if long := next((name for name in table.columns if len(name) > 60 or columns.words(name) > 8), None):
        raise HpoError(f"the first row reads like data ({long[:40]!r}...); add a header such as text,label")
    if len(table) < columns.LEAST_ROWS:
        seen = f"{len(table)} row{'s' * (len(table) != 1)}"
        raise HpoError(f"has {seen}; right are {columns.LEAST_ROWS} at the very least, and some hundred to learn from")


def _name(file: str) -> str:
    stem = re.sub(r"[^\w.-]+", "-", Path(file).stem).strip("-._")
    return stem[:100] or "study"


def _from(file: str, out: Path) -> str:
    """The file's path from the study file's folder; absolute where they have no folder in common."""
    if "://" in file:
        return file
    here, there = os.path.abspath(out.parent), os.path.abspath(file)
    return os.path.relpath(there, here) if os.path.commonpath([here, there]) != os.sep else there


def _lines(guesses: Sequence[Guess]) -> Iterator[str]:
    """YAML with a comment behind each guess."""
    at: tuple[str, ...] = ()
    for one in guesses:
        *groups, name = one.keys
        for depth, group in enumerate(groups):
            if one.keys[: depth + 1] != at[: depth + 1]:
                yield f"{'  ' * depth}{group}:"
        at = tuple(groups)
        said = f"{'  ' * len(groups)}{'# ' * one.off}{name}: {one.written}"
        yield f"{said:<42}  # {' '.join(one.why.split())}" if one.why else said
