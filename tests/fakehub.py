"""A small hub on 127.0.0.1: what huggingface_hub, transformers and datasets ask one for, out of folders."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_aTokenThatIsASecret"
_API = re.compile(r"/api/(models|datasets)/(.+?)(?:/(revision|tree|paths-info)/([^/?]+)(?:/(.*))?)?")
_FILE = re.compile(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)")


@dataclass
class Hub:
    """Models and data sets by id; to the `gated` ones a request is let with TOKEN alone.

    `main` is the commit of all of them; `older` holds the models of other commits.
    """

    url: str = ""
    models: dict[str, Path] = field(default_factory=dict)
    datasets: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    main: str = COMMIT
    older: dict[str, dict[str, Path]] = field(default_factory=dict)

    def environ(self, home: Path) -> dict[str, str]:
        """The variables of a process that uses this hub, with a cache of its own."""
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        return own | {"HPO_GRACE": "60"}  # a busy machine takes its time to ask


class Refused(Exception):  # noqa: N818 - an answer
    """A status with the hub's name for it."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    commit = COMMIT
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            path = unquote(urlsplit(self.path).path)
            if found := _API.fullmatch(path):
                self._answer(json.dumps(self._described(*found.groups(), body)).encode(), "application/json")
            elif found := _FILE.fullmatch(path):
                self._answer(self._file(*found.groups()), "application/octet-stream")
            else:
                raise Refused(404, "EntryNotFound")
        except Refused as refused:
            self._answer(b"{}", "application/json", refused)

    do_HEAD = do_POST = do_GET  # noqa: N815 - names that http.server calls

    def log_message(self, *_: object) -> None:
        pass

    def _described(self, kind: str, name: str, what: str | None, revision: str, path: str | None, body: bytes) -> Any:
        folder = self._folder(kind, name, revision or "main")
        files = [_entry(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()]
        if what == "tree":
            return _tree(files, f"{path}/" if path else "", "recursive=true" in self.path.lower())
        if what == "paths-info":
            asked = body.decode() + json.dumps(unquote(body.decode()))
            return [file for file in files if file["path"] in asked]
        return {
            "id": name,
            "sha": self._commit(revision),
            "private": False,
            "gated": name in self.hub.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": file["path"]} for file in files],
        }

    def _file(self, datasets: str | None, name: str, revision: str, file: str) -> bytes:
        if name in self.hub.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        path = self._folder("datasets" if datasets else "models", name, revision) / file
        if not path.is_file():
            raise Refused(404, "EntryNotFound")
        return path.read_bytes()

    def _folder(self, kind: str, name: str, revision: str) -> Path:
        older = self.hub.older.get(revision, self.hub.models)
        folder = (self.hub.datasets if kind == "datasets" else older).get(name)
        if folder is None:
            raise Refused(404, "RepoNotFound")
        if revision not in ("main", self.hub.main, *self.hub.older):
            raise Refused(404, "RevisionNotFound")
        self.commit = self._commit(revision)
        return folder

    def _commit(self, revision: str | None) -> str:
        return revision if revision in self.hub.older else self.hub.main

    def _answer(self, content: bytes, kind: str, refused: Refused | None = None) -> None:
        self.send_response(refused.status if refused else 200)
        if refused:
            self.send_header("X-Error-Code", refused.code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:40]}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _tree(files: list[dict[str, Any]], under: str, deep: bool) -> list[dict[str, Any]]:
    """The files and folders under a path; an empty folder is none."""
    inside = [file for file in files if file["path"].startswith(under)]
    if not inside and under:
        raise Refused(404, "EntryNotFound")
    if deep:
        return inside
    folders = {file["path"][len(under) :].partition("/")[0] for file in inside if "/" in file["path"][len(under) :]}
    here = [file for file in inside if "/" not in file["path"][len(under) :]]
    return here + [{"type": "directory", "path": under + name, "size": 0, "oid": COMMIT} for name in sorted(folders)]


def _entry(file: Path, folder: Path) -> dict[str, Any]:
    oid = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    return {"type": "file", "path": str(file.relative_to(folder)), "size": file.stat().st_size, "oid": oid}
