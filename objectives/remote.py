"""A model behind a URL: copied once into a folder that a machine's processes share; no torch."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import platformdirs
from filelock import FileLock

from objectives.cache import Entry, acquired
from objectives.errors import ModelError, without_login
from objectives.evaluation import Heed, unheeded
from objectives.sources import Source
from objectives.tables import first_line

log = logging.getLogger(__name__)

KEPT = {".codes", ".jinja", ".json", ".model", ".py", ".safetensors", ".spm", ".txt"}
"""What a model is read from; pickled and foreign weights stay where they are."""

# What protocols call that which changes with a file, in lower case and without - and _.
_STAMPS = {"checksum", "contentmd5", "crc32c", "created", "digest", "etag", "generation", "lastmodified", "md5hash"}
_STAMPS |= {"mtime", "size", "updated"}


_GONE = ".gone-"
PATIENCE = 3600.0
"""Seconds that a process waits for another that copies the same model; one that died holds up nobody."""


def fetched(source: Source, cache: Path | None = None, heed: Heed = unheeded) -> Source:
    """The same model as a folder below `cache`; one process copies it, the others wait, and the next find it there.

    Files that changed behind the URL, by size and by time or checksum, make a new copy. Where the URL cannot be asked,
    the newest copy will do. Raises ModelError, and what `heed` raises, called before each file and while it waits.
    """
    cache = cache or platformdirs.user_cache_path("hpo") / "models"
    name = _digest(source.where)
    try:
        system, files = _listed(source.where)
    except Exception as error:  # what it raises depends on the protocol
        copies = sorted((path for path in cache.glob(f"{name}-*") if path.is_dir()), key=os.path.getmtime)
        if not copies or isinstance(error, FileNotFoundError):
            raise ModelError(f"model.name: cannot fetch {source.full_name}: {_said(error)}") from error
        log.warning("%s cannot be asked (%s); its last copy is used", source.full_name, _said(error))
        return _at(source, copies[-1])
    if "config.json" not in files:
        found = ", ".join(sorted(files)[:5]) or "nothing to read"
        right = "right is a folder with config.json, model.safetensors and the tokenizer's files"
        raise ModelError(f"model.name: {source.full_name} holds {found}; {right}")
    copy = cache / f"{name}-{_digest(repr(sorted((file, stamp) for file, (_, stamp) in files.items())))}"
    if not copy.is_dir():
        _copy(source, system, files, copy, heed)
    return _at(source, copy)


@contextmanager
def held(source: Source) -> Iterator[bool]:
    """Keep a model's copy from being removed within the block; False where it is gone already."""
    lock = Path(f"{source.where}.lock")
    if not lock.is_file():  # no copy of ours
        yield True
        return
    with lock.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        os.utime(lock)
        yield Path(source.where).is_dir()


def copies(cache: Path) -> list[Entry]:
    """The copies below `cache`; the one used last comes last."""
    found = []
    for lock in cache.glob("*.lock"):
        with suppress(FileNotFoundError):
            size = sum(path.stat().st_size for path in lock.with_suffix("").iterdir())
            found.append(Entry(lock.with_suffix(""), size, lock.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def clear(cache: Path) -> tuple[list[Entry], list[Entry]]:
    """Remove the copies that no trial uses; those that were removed, and those that were not."""
    removed, used = list[Entry](), list[Entry]()
    for entry in copies(cache):
        with Path(f"{entry.path}.lock").open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                used.append(entry)
            else:
                entry.path.rename(cache / f"{_GONE}{entry.path.name}")  # half a copy is never read
                removed.append(entry)
    for path in cache.glob(f"{_GONE}*"):
        shutil.rmtree(path, ignore_errors=True)
    return removed, used


def _at(source: Source, copy: Path) -> Source:
    """The copy, whose name tells people which state of the files it is."""
    return replace(source, where=str(copy), full_name=f"{source.full_name} (copy {copy.name.rpartition('-')[2]})")


def _copy(source: Source, system: Any, files: Mapping[str, tuple[str, str]], copy: Path, heed: Heed) -> None:
    """Let one process copy the files, and the others wait for it."""
    with _explained(source, copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{copy}.lock")
    try:
        alone = acquired(lock, PATIENCE, heed)
    except OSError as error:
        raise ModelError(f"model.name: cannot copy {source.full_name} to {copy}: {_said(error)}") from error
    if not alone:
        waited = f"another process has been copying it for {PATIENCE / 60:.0f} minutes; see what holds {copy}.lock"
        raise ModelError(f"model.name: cannot copy {source.full_name} to {copy}: {waited}")
    try:
        if not copy.is_dir():
            _fill(source, system, files, copy, heed)
    finally:
        lock.release()


def _fill(source: Source, system: Any, files: Mapping[str, tuple[str, str]], copy: Path, heed: Heed) -> None:
    """Copy the files under another name and rename: half a copy is never read."""
    with _explained(source, copy):
        part = TemporaryDirectory(dir=copy.parent, prefix=".part-")
    with part as folder:
        whole = Path(folder) / "model"
        for file, (path, _) in files.items():
            heed()
            with _explained(source, copy):
                whole.mkdir(exist_ok=True)
                system.get_file(path, str(whole / file))
        with _explained(source, copy):
            whole.rename(copy)


@contextmanager
def _explained(source: Source, copy: Path) -> Iterator[None]:
    """Raise what goes wrong in the block as a ModelError."""
    try:
        yield
    except Exception as error:  # of the disk here, or of the protocol there
        raise ModelError(f"model.name: cannot copy {source.full_name} to {copy}: {_said(error)}") from error


def _listed(url: str) -> tuple[Any, dict[str, tuple[str, str]]]:
    """The file system, and of each file of the folder its path and what changes with it."""
    import fsspec  # type: ignore[import-untyped]

    system, root = fsspec.url_to_fs(url)
    system.invalidate_cache()
    found: dict[str, tuple[str, str]] = {}
    for entry in system.ls(root, detail=True):
        name = PurePosixPath(entry["name"].rstrip("/").partition("?")[0]).name
        if entry["type"] == "file" and PurePosixPath(name).suffix in KEPT:
            found[name] = (entry["name"], _stamp(entry) or _stamp(system.info(entry["name"])))
    return system, found


def _stamp(entry: Mapping[str, Any]) -> str:
    """What changes with a file; empty where the listing says no more than its size."""
    known = {key.lower().replace("-", "").replace("_", ""): value for key, value in entry.items()}
    told = {key: str(value) for key, value in sorted(known.items()) if key in _STAMPS and value is not None}
    return repr(told) if told.keys() - {"size"} else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _said(error: Exception) -> str:
    return without_login(first_line(error))
