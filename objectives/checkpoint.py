"""A trial's state on disk: safetensors with JSON in its header, never pickle."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import fsspec  # type: ignore[import-untyped]

from objectives.evaluation import Snapshot

log = logging.getLogger(__name__)
_NAME = re.compile(r"(\d{6})-([0-9a-f]{16})\.safetensors")


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one trial in a folder of its own: a path, or a URL that fsspec opens.

    A file's name has its step and its digest: a file that was cut off or altered is told from a whole one.
    """

    folder: str

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Keep this snapshot and forget older ones; raises OSError, with nothing lost, where it cannot be written."""
        files, root = fsspec.url_to_fs(self.folder)
        content = _pack(snapshot)
        name = f"{step:06}-{_digest(content)}.safetensors"
        files.makedirs(root, exist_ok=True)
        older = self._names(files, root)
        part = f"{root}/{name}.part"
        try:
            with files.open(part, "wb") as stream:
                stream.write(content)
                _sync(stream)
            files.mv(part, f"{root}/{name}")
        except OSError:
            _remove(files, part)
            raise
        for old in older:
            _remove(files, f"{root}/{old}")

    def newest(self) -> tuple[int, Snapshot] | None:
        """The newest whole checkpoint with its step; None where there is none. Damaged ones are passed over, with a
        line in the log."""
        files, root = fsspec.url_to_fs(self.folder)
        for name in sorted(self._names(files, root), reverse=True):
            found = _NAME.fullmatch(name)
            content = files.cat_file(f"{root}/{name}")
            if found and _digest(content) == found[2]:
                return int(found[1]), _unpack(content)
            log.warning("checkpoint %s/%s is damaged; it is not used", root, name)
        return None

    def clear(self) -> None:
        """Remove them all, the folder too."""
        files, root = fsspec.url_to_fs(self.folder)
        if files.exists(root):
            files.rm(root, recursive=True)

    @staticmethod
    def _names(files: Any, root: str) -> list[str]:
        files.invalidate_cache(root)
        paths = files.ls(root, detail=False) if files.exists(root) else []
        return [name for path in paths if _NAME.fullmatch(name := path.rstrip("/").rpartition("/")[2])]


def trials(folder: str) -> list[str]:
    """The names of the trials' folders within a study's."""
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
        files.rm_file(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)
