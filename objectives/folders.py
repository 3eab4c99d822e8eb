"""Rows that are images: a folder or archive of a folder for each class, or a table of paths."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath

from objectives.errors import DataError
from objectives.tables import Table, located, open_binary

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
COLUMNS = ("text", "label")
"""What a folder's rows are made of: an image's path below it, and its class."""

_RIGHT = "right is a folder for each class, with images in it"
_LONGEST = 255
"""Of a cell so many letters are said: a path's name has no more, but a cell may hold the image itself."""
_OF_SYSTEMS = ("Thumbs.db", "desktop.ini", "__MACOSX")


def are_here(path: str) -> bool:
    """Whether images themselves lie at a path: in a folder, or in an archive. Else it is a table of them."""
    return Path(path).is_dir() or PurePosixPath(path).suffix.lower() == ".zip"


def read(path: str, key: str = "data.path") -> Table:
    """The images of a folder or a .zip, in order of their paths, each of the class its first folder is named by.

    A folder that holds all others counts for nothing. Raises DataError naming `key`.
    """
    source = located(path)
    rows = [(name, parts) for name in _names(path, key) if not _is_hidden(parts := PurePosixPath(name).parts)]
    while rows and all(len(parts) > 2 and parts[0] == rows[0][1][0] for _, parts in rows):
        rows = [(name, parts[1:]) for name, parts in rows]
    rows = [(name, parts) for name, parts in rows if len(parts) > 1]
    if not rows:
        raise DataError(key, f"{source}: has no class; {_RIGHT}")
    for name, _ in rows:
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            raise DataError(key, f"{source}/{name}: is no image by its name; right is one of {', '.join(SUFFIXES)}")
    return Table(dict(zip(COLUMNS, ([name for name, _ in rows], [parts[0] for _, parts in rows]), strict=True)), source)


def listed(path: str, key: str) -> Table:
    """All images of a folder or a .zip, in order of their paths, without classes; raises DataError naming `key`."""
    found = [(name, PurePosixPath(name)) for name in _names(path, key)]
    names = [name for name, one in found if one.suffix.lower() in SUFFIXES and not _is_hidden(one.parts)]
    if not names:
        raise DataError(key, f"{located(path)}: has no image; right are {', '.join(SUFFIXES)}")
    return Table({COLUMNS[0]: names}, located(path))


def images(table: Table, column: str, key: str) -> Iterator[bytes]:
    """The file of each row, one after the other; raises DataError where one is missing."""
    with _opened(table, key) as one:
        for row, cell in enumerate(table.column(column)):
            try:
                found = one(cell)
            except (OSError, KeyError, zipfile.BadZipFile) as error:
                raise DataError(key, f"{named(table, row, cell)}: {_why(error, table)}") from None
            yield found


def digest(table: Table, column: str, key: str) -> bytes:
    """What tells these images from others: sha256 over their names and bytes, in order; raises DataError."""
    found = hashlib.sha256()
    for row, cell in enumerate(table.columns.get(column, ())):
        path = placed(table.source, cell)
        try:
            status = path.stat()
            found.update(f"{cell}\n".encode() + _sha256(path, status.st_size, status.st_mtime_ns))
        except OSError as error:
            raise DataError(key, f"{named(table, row, cell)}: {_why(error, table)}") from None
    return found.digest()


def placed(source: str, cell: str) -> Path:
    """Where the image of a cell is: below its folder, or beside its table."""
    return (Path(source) if Path(source).is_dir() else Path(source).parent) / cell


def named(table: Table, row: int, cell: str) -> str:
    """An image, for a message: where it is, and where that is said."""
    cell = cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}..."
    if table.files is not None:
        return f"{table.source}: {cell}"
    if table.lines is None:
        return f"{table.source}/{cell}" if are_here(table.source) else str(placed(table.source, cell).absolute())
    return f"{table.place(row)}: {placed(table.source, cell)}"


def _why(error: Exception, table: Table) -> str:
    if isinstance(error, FileNotFoundError) and table.files is not None:
        return f"no such image: {error.filename}"
    if isinstance(error, FileNotFoundError | KeyError):
        return "no such image; paths count from the table's folder"
    said = error.strerror if isinstance(error, OSError) else None  # without the path, which is named already
    return f"cannot be read: {said or error}"


@contextmanager
def _opened(table: Table, key: str) -> Iterator[Callable[[str], bytes]]:
    """What reads the image of a cell."""
    source = table.source
    if table.files is not None:
        yield table.files
        return
    if PurePosixPath(source).suffix.lower() != ".zip":
        yield lambda cell: placed(source, cell).read_bytes()
        return
    with _archive(source, key) as archive:
        yield archive.read


def _names(path: str, key: str) -> list[str]:
    """All files of a folder or a .zip, sorted."""
    if Path(path).is_dir():
        return sorted(one.relative_to(path).as_posix() for one in Path(path).rglob("*") if one.is_file())
    with _archive(path, key) as archive:
        return sorted(one.filename for one in archive.infolist() if not one.is_dir())


@contextmanager
def _archive(path: str, key: str) -> Iterator[zipfile.ZipFile]:
    with open_binary(path, key) as stream:
        try:
            archive = zipfile.ZipFile(io.BytesIO(stream.read()) if "://" in path else stream)
        except zipfile.BadZipFile as error:
            raise DataError(key, f"{located(path)}: is no .zip that can be read ({error}); copy it again") from None
        with archive:
            yield archive


def _is_hidden(parts: Sequence[str]) -> bool:
    """Whether a path is of no concern: hidden, or what systems leave beside people's files."""
    return any(part.startswith(".") or part in _OF_SYSTEMS for part in parts)


@lru_cache(maxsize=1 << 18)
def _sha256(path: Path, _size: int, _modified: int) -> bytes:
    """The file's sha256, read again only when the file's size or time changes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
