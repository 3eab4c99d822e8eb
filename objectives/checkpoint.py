"""A trial's state on disk: safetensors with JSON in its header, never pickle."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import fsspec  # type: ignore[import-untyped]

from objectives.evaluation import Snapshot

log = logging.getLogger(__name__)
_NAME = re.compile(r"(?:(\d{4,})-)?(\d{6})-([0-9a-f]{16})\.safetensors")


@contextmanager
def as_oserror() -> Iterator[None]:
    """What stores behind URLs raise in their own ways, as where a login is refused, becomes OSError."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one trial in a folder of its own: a path, or a URL that fsspec opens.

    A file's name has its attempt, its step and its digest: a file that was cut off or altered is told from a whole
    one, and one of an attempt that goes on although another took its place from those of the other. Names without an
    attempt are of an earlier version.
    """

    folder: str
    attempt: int = 1

    @as_oserror()
    def save(self, step: int, snapshot: Snapshot) -> None:
        """Keep this snapshot and forget older ones, but none of a later attempt; raises OSError, with nothing lost,
        where it cannot be written."""
        files, root = fsspec.url_to_fs(self.folder)
        content = _pack(snapshot)
        name = f"{self.attempt:04}-{step:06}-{_digest(content)}.safetensors"
        files.makedirs(root, exist_ok=True)
        older = [old for old in self._names(files, root) if _place(old)[0] <= self.attempt and old != name]
        part = f"{root}/{name}.part"
        try:
            with files.open(part, "wb") as stream:
                stream.write(content)
                _sync(stream)
            files.mv(part, f"{root}/{name}")
        except Exception:
            _remove(files, part)
            raise
        for old in older:
            _remove(files, f"{root}/{old}")

    @as_oserror()
    def newest(self) -> tuple[int, Snapshot] | None:
        """The newest whole checkpoint of the latest attempt, with its step; None where there is none. Damaged ones are
        passed over, with a line in the log. Raises OSError where none can be read."""
        files, root = fsspec.url_to_fs(self.folder)
        for name in sorted(self._names(files, root), key=_place, reverse=True):
            content = files.cat_file(f"{root}/{name}")
            if f"-{_digest(content)}." in name:
                return _place(name)[1], _unpack(content)
            log.warning("checkpoint %s/%s is damaged; it is not used", root, name)
        return None

    @as_oserror()
    def clear(self) -> None:
        """Remove them all, the folder too; raises OSError."""
        files, root = fsspec.url_to_fs(self.folder)
        if files.exists(root):
            files.rm(root, recursive=True)

    @staticmethod
    def _names(files: Any, root: str) -> list[str]:
        files.invalidate_cache(root)
        paths = files.ls(root, detail=False) if files.exists(root) else []
        return [name for path in paths if _NAME.fullmatch(name := path.rstrip("/").rpartition("/")[2])]


def _place(name: str) -> tuple[int, int]:
    """The attempt and the step of a checkpoint's name."""
    found = _NAME.fullmatch(name)
    return (int(found[1] or 0), int(found[2])) if found else (0, 0)


@as_oserror()
def trials(folder: str) -> list[str]:
    """The names of the trials' folders within a study's; raises OSError."""
    files, root = fsspec.url_to_fs(folder)
    files.invalidate_cache(root)
    return [path.rstrip("/").rpartition("/")[2] for path in files.ls(root, detail=False)] if files.exists(root) else []


def _pack(snapshot: Snapshot) -> bytes:
    header = {"values": json.dumps(snapshot.values), "facts": json.dumps(snapshot.facts)}
    if not snapshot.tensors:  # a simulated trial has none, and needs no torch
        from safetensors.numpy import save as save_arrays

        return bytes(save_arrays({}, header))
    from safetensors.torch import save

    return bytes(save({name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}, header))


def _unpack(content: bytes) -> Snapshot:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    said = header.pop("__metadata__")
    tensors: dict[str, Any] = {}
    if header:
        from safetensors.torch import load

        tensors = load(content)
    return Snapshot(tensors, json.loads(said["values"]), json.loads(said["facts"]))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _sync(stream: Any) -> None:
    """On a local disk, wait until the bytes are there: the name that follows must never stand for fewer."""
    stream.flush()
    if hasattr(stream, "fileno"):
        with suppress(io.UnsupportedOperation):  # a file that is none, in memory
            os.fsync(stream.fileno())


def _remove(files: Any, path: str) -> None:
    try:
        with as_oserror():
            files.rm_file(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)
