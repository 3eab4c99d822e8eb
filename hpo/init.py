"""A first study file for rows of a file or of the hub: every setting a guess that says why."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.cells import cell_len

from hpo import columns, fitting, outline, roles, spec
from hpo.columns import Column
from hpo.complaints import explain, of_file
from hpo.errors import HpoError, SpecError
from hpo.guesses import Guess, Rows, in_file, on_hub
from hpo.roles import Form, Look, Roles
from objectives import folders, published, tables
from objectives.errors import DataError
from objectives.settings import Data

_SENTENCES = (".conll", ".iob", ".bio")
_SPLITS = frozenset(("train", "valid", "validation", "val", "dev", "test"))
"""What folders of splits are called, where a folder for each class is wanted."""


@dataclass(frozen=True)
class Draft:
    """A study file that is not written yet: what was guessed from which rows."""

    path: Path
    file: str
    table: tables.Table
    roles: Roles
    guesses: tuple[Guess, ...]

    @property
    def text(self) -> Column:
        """The column to read."""
        return self.roles.text

    @property
    def label(self) -> Column | None:
        """The column to predict, where there is one."""
        return self.roles.label

    @property
    def examples(self) -> list[tuple[str, ...]]:
        """What is read and predicted in two rows, of different classes where there are some."""
        used = [column.values for column in (*self.roles.read, self.label) if column is not None]
        rows = [row for row in zip(*used, strict=True) if all(map(str.strip, row))]
        return [rows[0], next((row for row in rows if row[-1] != rows[0][-1]), rows[-1])]

    def __str__(self) -> str:
        head = f"# From {os.path.basename(self.file)}, {len(self.table)} rows. The guesses and why; mend what is wrong."
        return "\n".join([head, *_lines(self.guesses)]) + "\n"


@dataclass(frozen=True)
class Wanted:
    """What is known beforehand: the task, columns, the study's name, how a file is written, a hub data set's
    configuration."""

    task: str | None = None
    text: str | None = None
    label: str | None = None
    pair: str | None = None
    study: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    config: str | None = None


@dataclass(frozen=True)
class _Source:
    """Rows that were read: where they are, as guesses, the columns known to hold classes, the roles with own rows."""

    table: tables.Table
    place: Callable[[Path], Iterable[Guess]]
    classes: tuple[str, ...] = ()
    splits: frozenset[str] = frozenset()
    form: Form = "table"


def draft(file: str, out: Path | None = None, **options: str | None) -> Draft:
    """What a study of the rows in a file, or of a data set of the hub, would be, as wanted or guessed.

    The options are those of `Wanted`. Raises HpoError where the rows cannot be read or hold nothing to learn.
    """
    if Path(file).suffix in (".yaml", ".yml"):
        raise HpoError(f"{file} is a study file; check it with: hpo check {shlex.quote(file)}")
    wanted = Wanted(**options)
    source = _on_hub(file.removeprefix("hub:"), wanted) if is_hub(file) else _in_file(file, wanted)
    found = columns.profile(source.table)
    try:
        _check(source)
        chosen = roles.of(_look(found, wanted, source), wanted.task)
    except HpoError as error:
        raise HpoError(f"{file}: {error}") from None
    name = wanted.study or _name(file)
    path = out or Path(f"{name}.yaml")
    groups = columns.groups_of(found, *chosen.taken) if source.form == "table" else []
    rows = Rows(source.table, chosen, tuple(groups), source.splits)
    guesses = (Guess(("study",), name, "its name in the database"), *outline.guess(rows, source.place(path)))
    return Draft(path, file, source.table, chosen, guesses)


def _look(found: dict[str, Column], wanted: Wanted, source: _Source) -> Look:
    if wanted.pair is None:
        return Look(found, wanted.text, wanted.label, None, source.classes, source.form)
    pair = columns.named(found, wanted.pair, "--pair")
    if pair.name in (wanted.text, wanted.label):
        raise HpoError(f"--pair: column {pair.name!r} is read or predicted already; name another")
    rest = {name: column for name, column in found.items() if column is not pair}
    classes = tuple(name for name in source.classes if name != pair.name)
    return Look(rest, wanted.text, wanted.label, pair, classes, source.form)


def is_hub(file: str) -> bool:
    """Whether this names a data set of the hub: as `hub:ID`, or as an id of two parts that is no file here."""
    looks = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", file, re.ASCII) and Path(file).suffix.lower() not in tables.READERS
    return file.startswith("hub:") or (bool(looks) and not Path(file).exists() and not Path(file).parent.is_dir())


def write(made: Draft, force: bool = False) -> None:
    """Write the study file, whole and checked as `hpo check` does; raises HpoError where it is there already."""
    path, part = made.path, made.path.with_name(f".{made.path.name}.{os.getpid()}")
    if path.exists() and not force:
        raise HpoError(f"{path} is there already; give another with -o, or overwrite it with --force")
    try:
        part.write_text(str(made), "utf-8")
        fitting.check_inputs(loaded := spec.load(part), source=made.file)
        fitting.check_images(loaded, source=made.file)
        part.replace(path)
    except SpecError as error:
        raise HpoError(str(error).replace(str(part), str(path))) from error
    except OSError as error:
        raise HpoError(f"{path}: cannot be written: {error.strerror}; give another place with -o") from error
    finally:
        part.unlink(missing_ok=True)


def _settings(**given: str | None) -> Data:
    try:
        return Data.model_validate(given)
    except ValidationError as error:
        raise HpoError("; ".join(f"--{complaint}" for complaint in explain(error, Data))) from error


def _on_hub(name: str, wanted: Wanted) -> _Source:
    if wanted.encoding or wanted.delimiter:
        raise HpoError(f"{name} is a data set of the hub; --encoding and --delimiter belong to files: leave them out")
    settings = _settings(hub=name, config=wanted.config)
    try:
        found = published.published(settings)
    except DataError as error:
        near = "; name it with --config" if "Config name is missing" in str(error) else ""
        raise HpoError(str(error).removeprefix("data.hub: ") + near) from error
    return _Source(found.table, lambda _: on_hub(settings, found.rows), found.classes, frozenset(found.roles))


def _in_file(file: str, wanted: Wanted) -> _Source:
    if wanted.config:
        raise HpoError(f"{file} is a file; --config belongs to a data set of the hub: leave it out")
    if folders.are_here(file):
        return _in_folder(file, wanted)
    settings = _settings(path=file, encoding=wanted.encoding, delimiter=wanted.delimiter)
    table, found = _read(file, settings)
    given = (wanted.delimiter, "as given") if wanted.delimiter else None
    delimiter = (found, "found in the header") if found else given
    form: Form = "sentences" if Path(file).suffix.lower() in _SENTENCES else "table"
    return _Source(table, lambda path: in_file(table, _from(file, path), wanted.encoding, delimiter), form=form)


def _in_folder(file: str, wanted: Wanted) -> _Source:
    if wanted.encoding or wanted.delimiter:
        raise HpoError(f"{file} holds images; --encoding and --delimiter belong to files of rows: leave them out")
    try:
        table = folders.read(file, "FILE")
    except DataError as error:
        raise HpoError(of_file(error)) from error
    if "train" in (found := set(table.column("label"))) and found <= _SPLITS:
        seen = f"{file} has folders of splits, {', '.join(sorted(found))}, and no classes"
        first = f"run hpo init {file}/train" if Path(file).is_dir() else "unpack it, run hpo init on its folder train"
        raise HpoError(f"{seen}; {first}, then write data.train, data.valid and data.test in place of data.path")
    return _Source(table, lambda path: in_file(table, _from(file, path), None, None), form="images")


def _read(file: str, settings: Data) -> tuple[tables.Table, str | None]:
    """The rows, and the delimiter where it is neither given nor the suffix's own."""
    written = {"encoding": settings.encoding, "delimiter": settings.delimiter}
    try:
        return tables.read(file, "FILE", **written), None
    except DataError as error:
        other = re.search(r"set data\.delimiter: (tab|'(.)')", str(error))
        if other is None or settings.delimiter:
            raise HpoError(of_file(error)) from error
    delimiter = other[2] or "\t"
    try:
        return tables.read(
            file, "FILE", **written | {"delimiter": "\t" if delimiter == "tab" else delimiter}
        ), delimiter
    except DataError as error:
        raise HpoError(of_file(error)) from error


def _check(source: _Source) -> None:
    table = source.table
    if source.form == "table":
        _check_header(table)
    if len(table) < columns.LEAST_ROWS:
        seen = f"{len(table)} row{'s' * (len(table) != 1)}"
        raise HpoError(f"has {seen}; right are {columns.LEAST_ROWS} at the very least, and some hundred to learn from")


def _check_header(table: tables.Table) -> None:
    if long := next((name for name in table.columns if len(name) > 60 or columns.words(name) > 8), None):
        raise HpoError(f"the first row reads like data ({long[:40]!r}...); add a header such as text,label")
    if value := columns.headless(columns.profile(table)):
        seen = f"the first row reads like data: {value!r} stands in its column again"
        raise HpoError(f"{seen}; add a header such as text,label")


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
        room = " " * max(2, 44 - cell_len(said))  # an ideograph is two cells wide
        yield f"{said}{room}# {' '.join(one.why.split())}" if one.why else said
