"""Models that trials leave behind: written by workers, whole or not at all, and fetched."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]

from hpo.errors import HpoError
from objectives.checkpoint import as_oserror
from objectives.errors import without_login

_LIST = "files.json"  # comes last: a folder without it is half written


@dataclass(frozen=True)
class Models:
    """The models of a study's trials in a folder: a path, or a URL that fsspec opens. Each attempt has its own, so that
    none is written over."""

    folder: str

    def save(self, trial_id: int, attempt: int, write: Callable[[Path], None]) -> None:
        """Keep the files that `write` puts into a folder, and into folders in it; raises OSError, with nothing kept."""
        files, root = _reach(f"{self.folder}/{trial_id}/{attempt:04}")
        with tempfile.TemporaryDirectory(prefix="hpo-model-") as local:
            write(Path(local))
            written = (path for path in sorted(Path(local).rglob("*")) if path.is_file())
            digests = {path.relative_to(local).as_posix(): _digest(path) for path in written}
            try:
                _clear(files, root)
                _put(files, local, digests, root)
            except OSError:
                with suppress(OSError):
                    _clear(files, root)
                raise

    def fetch(self, trial_id: int, into: Path) -> None:
        """Copy the files of a trial's model into an empty folder.

        Raises HpoError where there are none, or not all, and OSError where they cannot be copied.
        """
        files, root = _reach(f"{self.folder}/{trial_id}")
        found, where = _newest(files, root), without_login(f"{self.folder}/{trial_id}")
        if found is None:
            raise HpoError(f"{where}: no model is there; HPO_ARTIFACTS should be one place for all machines")
        for name, digest in found.digests.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            with as_oserror():
                files.get_file(f"{found.root}/{name}", str(into / name))
            if _digest(into / name) != digest:
                raise HpoError(f"{found.root}/{name}: is damaged; remove the folder and promote again with --again")

    def clear(self) -> None:
        """Remove them all; raises OSError."""
        _clear(*_reach(self.folder))


@as_oserror()
def _reach(url: str) -> Any:
    """The store of a URL, and the path in it."""
    return fsspec.url_to_fs(url)


@dataclass(frozen=True)
class _Kept:
    """The files of one attempt, by name, and their digests."""

    root: str
    digests: dict[str, str]


@as_oserror()
def _newest(files: Any, root: str) -> _Kept | None:
    files.invalidate_cache()
    found = sorted(files.ls(root, detail=False), reverse=True) if files.exists(root) else []
    attempts = (path.rstrip("/") for path in found)
    whole = next((attempt for attempt in attempts if files.exists(f"{attempt}/{_LIST}")), None)
    return _Kept(whole, json.loads(files.cat_file(f"{whole}/{_LIST}"))) if whole else None


@as_oserror()
def _put(files: Any, local: str, digests: dict[str, str], root: str) -> None:
    for name in digests:
        files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        files.put_file(f"{local}/{name}", f"{root}/{name}")
    files.pipe_file(f"{root}/{_LIST}", json.dumps(digests).encode())


@as_oserror()
def _clear(files: Any, root: str) -> None:
    if files.exists(root):
        files.rm(root, recursive=True)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
