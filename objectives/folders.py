"""Rows that are images: a folder or archive of a folder for each class, or a table of paths."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath

from objectives.errors import DataError
from objectives.tables import Table, located, open_binary

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
COLUMNS = ("text", "label")
"""What a folder's rows are made of: an image's path below it, and its class."""

_RIGHT = "right is a folder for each class, with images in it"
_LONGEST = 255
"""Of a cell so many letters are said: a path's name has no more, but a cell may hold the image itself."""
_OF_SYSTEMS = ("Thumbs.db", "desktop.ini", "__MACOSX", "lost+found")


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
    loose = [name for name, parts in rows if len(parts) == 1 and PurePosixPath(name).suffix.lower() in SUFFIXES]
    rows = [(name, parts) for name, parts in rows if len(parts) > 1]
    if not rows:
        raise DataError(key, f"{source}: has no class; {_RIGHT}")
    for name, _ in rows:
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            right = f"right is one of {', '.join(SUFFIXES)}: move others away"
            raise DataError(key, f"{source}/{name}: is no image by its name; {right}")
    found = ([name for name, _ in rows], [parts[0] for _, parts in rows])
    table = Table(dict(zip(COLUMNS, found, strict=True)), source, range(1, len(rows) + 1), counted="row")
    if not loose:
        return table
    count = "1 image in no class's folder is" if len(loose) == 1 else f"{len(loose)} images in no class's folder are"
    return table.noting(f"{count} left out: {', '.join(loose[:3])}{', ...' * (len(loose) > 3)}")


def listed(path: str, key: str) -> Table:
    """All images of a folder or a .zip, in order of their paths, without classes; raises DataError naming `key`."""
    found = [(name, PurePosixPath(name)) for name in _names(path, key)]
    there = [(name, one) for name, one in found if not _is_hidden(one.parts)]
    names = [name for name, one in there if one.suffix.lower() in SUFFIXES]
    if not names:
        raise DataError(key, f"{located(path)}: has no image; right are {', '.join(SUFFIXES)}")
    table = Table({COLUMNS[0]: names}, located(path))
    others = len(there) - len(names)
    count = "1 file is left out, no image by its name" if others == 1 else f"{others} files are left out, no images"
    return table.noting(count) if others else table


def images(table: Table, column: str, key: str) -> Iterator[bytes]:
    """The file of each row, one after the other; raises DataError where one is missing."""
    for row, found in enumerate(each(table, column, key)):
        if isinstance(found, str):
            raise DataError(key, f"{named(table, row, table.column(column)[row])}: {found}")
        yield found


def each(table: Table, column: str, key: str) -> Iterator[bytes | str]:
    """The same, with why it cannot be had in place of a file; raises DataError where an archive cannot be opened."""
    with _opened(table, key) as one:
        for cell in table.column(column):
            try:
                found: bytes | str = one(cell) if cell.strip() else f"column {column!r} is empty; name an image's file"
            except (OSError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
                found = _why(error, table)
            yield found


def digests(table: Table, column: str, key: str) -> list[str]:
    """What tells each image from others, wherever it lies: the sha256 of its file; raises DataError."""
    return [hashlib.sha256(file).hexdigest() for file in images(table, column, key)]


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
    if are_here(table.source):
        return f"{table.source}/{cell}"
    path = placed(table.source, cell).absolute()
    return str(path) if table.lines is None else f"{table.place(row)}: {path}"


def _why(error: Exception, table: Table) -> str:
    if isinstance(error, FileNotFoundError) and table.files is not None:
        return f"no such image: {error.filename}"
    if isinstance(error, FileNotFoundError | KeyError):
        return "no such image; paths count from the table's folder"
    if isinstance(error, NotImplementedError):
        return "is packed by a method that is not read; pack it anew with deflate"
    if isinstance(error, RuntimeError):
        return "is encrypted; unpack it, and pack it anew without a password"
    if isinstance(error, zipfile.BadZipFile | zlib.error):
        return f"is damaged within its archive ({error}); copy it again"
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
        try:
            return sorted(one.relative_to(path).as_posix() for one in _files(Path(path), frozenset()))
        except OSError as error:
            raise DataError(key, f"{error.filename} cannot be read: {error.strerror}") from error
    with _archive(path, key) as archive:
        return sorted(one.filename for one in archive.infolist() if not one.is_dir())


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """All files below a folder, links to folders followed where these do not lead back up."""
    real = folder.resolve()
    if real in above:
        return
    for one in folder.iterdir():
        if _is_hidden([one.name]):
            continue
        if one.is_dir():
            yield from _files(one, above | {real})
        elif one.is_file():
            yield one


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
