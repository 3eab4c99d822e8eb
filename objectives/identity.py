"""What tells a model's files from others of the same name: a commit, or a digest; no torch."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import xxhash

from objectives import hub
from objectives.errors import ModelError
from objectives.remote import KEPT
from objectives.sources import Source, of_decoder

HUB, FILES = "hub", "files"


def identity(source: Source) -> str:
    """`hub:` and the commit that the hub's cache has of it, or `files:` and a digest of names and contents.

    Of a model with another as its decoder, both with a `+` between them. A file is read again only when its size or its
    time changes. Raises ModelError where one cannot be read.
    """
    if source.decoder is not None:
        with of_decoder():
            other = identity(source.decoder)
        return f"{identity(replace(source, decoder=None))}+{other}"
    if not source.is_folder:
        named = source.revision or ""
        found = named if re.fullmatch("[0-9a-f]{40}", named) else hub.commit(source)
        return f"{HUB}:{found or named or 'main'}"
    digest, folder = xxhash.xxh3_128(), Path(source.where)
    try:
        for path in sorted(path for path in folder.iterdir() if path.suffix in KEPT and path.is_file()):
            status = path.stat()
            digest.update(f"{path.name} {_digest(path, status.st_size, status.st_mtime_ns)}\n".encode())
    except OSError as error:
        raise ModelError(f"model.name: {error.filename} cannot be read: {error.strerror}") from None
    return f"{FILES}:{digest.hexdigest()}"


def is_certain(found: str) -> bool:
    """Whether an identity can be of one model only: not of a branch or a tag whose commit nobody knows."""
    return all(re.fullmatch(f"{FILES}:.+|{HUB}:[0-9a-f]{{40}}", one) for one in found.split("+"))


@lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _modified: int) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while some := stream.read(1 << 22):
            digest.update(some)
    return digest.hexdigest()
