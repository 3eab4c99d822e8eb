"""Files that a machine's processes share: built by one, whole or not at all, oldest first out."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import xxhash
from filelock import FileLock, Timeout

from objectives.evaluation import Heed, unheeded
from objectives.lent import Lent, lent
from objectives.settings import Depth

log = logging.getLogger(__name__)
SHARE = 5
"""Without a limit the cache takes one part in so many of the disk that is free."""
GLANCE = 0.2
"""Seconds after which who waits for another's build heeds what may end the wait."""


class Entry(NamedTuple):
    """A file of the cache: its size in bytes, and when it was last used, in seconds since 1970."""

    path: Path
    size: int
    used: float


@dataclass(frozen=True)
class Cache:
    """A folder of such files, `limit` bytes of them at the most; None is a share of the free disk.

    `depths` and `trials` say what it is for: the frozen blocks that coming trials may ask for, and how many trials
    there will be; a caller who waits for another's build goes on without after `patience` seconds. A file's name ends
    in its digest, so that one that was cut off or altered is told from a whole one.
    """

    folder: Path
    limit: int | None = None
    depths: tuple[Depth, ...] = ()
    trials: int = 1
    patience: float = 600.0

    def find(self, name: str, heed: Heed = unheeded) -> Path | None:
        """The whole file of this name, marked as used; one that is damaged is removed.

        Raises OSError, and what `heed` raises, called while a file is read for the first time in this process.
        """
        for path in self.folder.glob(f"{name}-*.safetensors"):
            if _is_whole(path, heed):
                return path
            log.warning("cached file %s is damaged; it is made anew", path)
            path.unlink(missing_ok=True)
        return None

    @contextmanager
    def building(self, group: str, heed: Heed) -> Iterator[bool]:
        """Whether the block is the only one, on this machine, that builds files of a group; False if others took too
        long. Raises OSError where the folder cannot be used, and what `heed`, called while it waits, raises."""
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # Few names that stay: a lock's file cannot be removed without a race.
        lock = FileLock(locks / f"{group[:2]}.lock")
        alone = acquired(lock, self.patience, heed)
        try:
            yield alone
        finally:
            if alone:
                lock.release()

    @contextmanager
    def write(self, name: str, size: int) -> Iterator[BinaryIO]:
        """A stream for this file's `size` bytes, there under its name when the block ends well.

        Each writer has a part of its own, and who ends last replaces an equal file. Room is made by removing what was
        not used for longest. Raises OSError, also where the disk is full.
        """
        part, stream = self._part(name)
        try:
            with stream:  # locked until the part has its name
                self._make_room(size)
                _reserve(stream, size)
                yield stream
                stream.flush()
                part.rename(self.folder / f"{name}-{_digest(stream)}.safetensors")
        finally:
            part.unlink(missing_ok=True)

    def room(self) -> int:
        """How many bytes the cache may take."""
        if self.limit is not None:
            return self.limit
        held = sum(entry.size for entry in self.entries())
        there = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        return (shutil.disk_usage(there).free + held) // SHARE

    def entries(self) -> list[Entry]:
        """All files, those in the making, too; the one used last comes last."""
        found = []
        for path in [*self.folder.glob("*.safetensors"), *self.folder.glob("*.part")]:
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append(Entry(path, status.st_size, status.st_atime))
        return sorted(found, key=lambda entry: entry.used)

    def clear(self) -> list[Entry]:
        """Remove all files, and return them; who has one open goes on reading it."""
        found = self.entries()
        for entry in found:
            entry.path.unlink(missing_ok=True)
        return found

    def _part(self, name: str) -> tuple[Path, BinaryIO]:
        """A new file that nobody else writes, locked for as long as it is open."""
        while True:
            part = self.folder / f"{name}.{os.getpid()}-{secrets.token_hex(4)}.part"
            stream = part.open("x+b")
            fcntl.flock(stream, fcntl.LOCK_EX)
            if os.fstat(stream.fileno()).st_nlink:
                return part, stream
            stream.close()  # swept away before it was locked

    def _sweep(self) -> None:
        """Remove the parts that nobody has locked: their writers were killed."""
        for part in self.folder.glob("*.part"):
            with suppress(BlockingIOError, FileNotFoundError, PermissionError), part.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
                log.info("%s is removed: its writer is gone", part.name)

    def _make_room(self, size: int) -> None:
        self._sweep()
        entries, room = self.entries(), self.room()
        held = sum(entry.size for entry in entries)
        for entry in entries:
            if held + size <= room:
                return
            if entry.path.suffix != ".part":
                log.info("cached file %s is removed to make room", entry.path.name)
                entry.path.unlink(missing_ok=True)
                held -= entry.size


def acquired(lock: FileLock, patience: float, heed: Heed) -> bool:
    """Whether the lock was there within so many seconds; it is held then. Raises what `heed` raises meanwhile."""
    until = time.monotonic() + patience
    while True:
        heed()
        left = until - time.monotonic()
        try:
            lock.acquire(timeout=max(0.0, min(GLANCE, left)))
        except Timeout:
            if left <= GLANCE:
                return False
        else:
            return True


def _reserve(stream: BinaryIO, size: int) -> None:
    """Take the disk's space at once, so that a full disk is noticed before anything is computed."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), 0, size)


def _is_whole(path: Path, heed: Heed) -> bool:
    try:
        status = path.stat()
        with lent(heed) as one:
            digest = _digest_at(path, status.st_ino, status.st_size, status.st_mtime_ns, one)
        whole = path.stem.endswith(f"-{digest}")
        os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
    except FileNotFoundError:  # removed by another process just now
        return False
    return whole


@lru_cache(maxsize=4096)
def _digest_at(path: Path, _inode: int, _size: int, _modified: int, heed: Lent) -> str:
    """The digest, computed again only when the file's size or time changes."""
    with path.open("rb") as stream:
        return _digest(stream, heed)


def _digest(stream: BinaryIO, heed: Heed = unheeded) -> str:
    digest = xxhash.xxh3_64()
    stream.seek(0)
    while some := stream.read(1 << 22):
        digest.update(some)
        heed()
    return digest.hexdigest()
