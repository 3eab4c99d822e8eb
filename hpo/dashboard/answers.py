"""The dashboard's costly questions, answered from what is kept."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from sqlalchemy import Engine, text

from hpo.dashboard import exhibits
from hpo.dashboard.importances import Importances
from hpo.dashboard.kept import Kept
from hpo.dashboard.pages import Answer
from hpo.database import LOST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STUDIES = 20  # that are kept, the last used ones
SMALL = 1000  # bytes that gzip would not make fewer packets of
_STUDY = re.compile(r"/api/studies/(\d{1,9})/?")
_IMPORTANCES = re.compile(r"/api/studies/(\d{1,9})/param_importances/?")
_ARTIFACT = re.compile(r"/artifacts/(\d{1,9})/(\d{1,9})/([0-9a-f]{1,8})-(c\d)/?")
_UPLOADED = re.compile(r"/artifacts/\d{1,9}/(\d{1,9}/)?[0-9a-f-]{36}/?")
_NEWEST = text("SELECT study_id FROM studies ORDER BY study_id DESC LIMIT :count")

Body = tuple[str, bytes, bool]
"""The media type of an answer, its bytes, and whether they are gzipped."""


class Answers:
    """A WSGI application before optuna-dashboard's; `engine` has connections of its own."""

    def __init__(self, app: WSGIApplication, engine: Engine) -> None:
        self._app, self._engine = app, engine
        self._kept: OrderedDict[int, Kept] = OrderedDict()
        self._whole: dict[int, tuple[str, bytes]] = {}
        self._lock = threading.Lock()
        self._start = secrets.token_hex(8)  # versions count from this process's start
        self._importances = Importances()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # optuna-dashboard takes it that all clients send one
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            for pattern, answer in self._routes():
                found = pattern.fullmatch(path)
                made = answer(environ, *found.groups()) if found else None
                if made:
                    return _send(environ, start, made)
            if path.startswith("/artifacts/") and not _UPLOADED.fullmatch(path):
                raise Answer(HTTPStatus.NOT_FOUND, "there is no such artifact")
            if path.startswith("/api/"):
                return self._squeezed(environ, start)
        return self._app(environ, start)

    def warm(self) -> None:
        """Read the newest studies, so that the first question about one of them finds it kept.

        Without a word if the database is lost meanwhile: the first question says so, where somebody asks.
        """
        with suppress(*LOST):
            with self._engine.connect() as connection:
                newest = list(connection.scalars(_NEWEST, {"count": STUDIES}))
            for study_id in reversed(newest):
                self._study({"QUERY_STRING": "", "HTTP_ACCEPT_ENCODING": "gzip"}, study_id)
                self._shares({}, study_id)

    def _routes(self) -> Sequence[tuple[re.Pattern[str], Callable[..., Body | None]]]:
        return ((_STUDY, self._study), (_IMPORTANCES, self._shares), (_ARTIFACT, self._artifact))

    def _of(self, study_id: int) -> Kept:
        with self._lock:
            found = self._kept.setdefault(study_id, Kept(study_id))
            self._kept.move_to_end(study_id)
            while len(self._kept) > STUDIES:
                gone, _ = self._kept.popitem(last=False)
                self._whole.pop(gone, None)
            return found

    def _refreshed(self, kept: Kept) -> bool:
        """Read by one snapshot, without a right to write; hold its lock."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._engine.connect().execution_options(**options) as connection:
            if kept.refresh(connection):
                return True
        with self._lock:
            self._kept.pop(kept.study_id, None)
            self._whole.pop(kept.study_id, None)
        return False

    def _study(self, environ: WSGIEnvironment, study: str | int) -> Body | None:
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0]
        if not re.fullmatch(r"[0-9]{1,9}", asked):
            raise Answer(HTTPStatus.BAD_REQUEST, "after: how many trials are known already, from 0")
        kept = self._of(int(study))
        with kept.lock:
            if not self._refreshed(kept):
                return None
            version = f"{self._start}-{kept.version}"
            whole = self._whole.get(kept.study_id, ("", b""))
            if int(asked) or not _takes_gzip(environ):
                return "application/json", kept.answer(int(asked)).encode(), False
            if whole[0] != version:
                whole = (version, gzip.compress(kept.answer(0).encode(), 1))
                self._whole[kept.study_id] = whole
            return "application/json", whole[1], True

    def _shares(self, environ: WSGIEnvironment, study: str | int) -> Body | None:
        kept = self._of(int(study))
        with kept.lock:
            if not (kept.trials or self._refreshed(kept)) or kept.told is None:
                return None
            trials, direction = list(kept.trials), kept.told.direction
        shares = self._importances.of(kept.study_id, trials, direction)
        return "application/json", json.dumps({"param_importances": [shares]}).encode(), False

    def _artifact(self, environ: WSGIEnvironment, study: str, trial: str, owner: str, kind: str) -> Body:
        with self._engine.connect() as connection:
            found = (
                exhibits.artifact(connection, int(study), int(trial), kind) if int(trial) == int(owner, 16) else None
            )
        if found is None:
            raise Answer(HTTPStatus.NOT_FOUND, "there is no such artifact")
        return found[0], found[1].encode(), False

    def _squeezed(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Optuna-dashboard's own answer, which is small or rare, as ours are sent."""
        said: list[Any] = []

        def begin(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            said[:] = [status, headers]

        answer = self._app(environ, begin)
        body = b"".join(answer)
        status, headers = said
        kind = next((value for name, value in headers if name.lower() == "content-type"), "")
        if status.startswith("200") and kind.startswith("application/json"):
            return _send(environ, start, (kind, body, False))
        start(status, headers)
        return [body]


def _takes_gzip(environ: WSGIEnvironment) -> bool:
    return "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")


def _send(environ: WSGIEnvironment, start: StartResponse, made: Body) -> list[bytes]:
    """The answer, smaller where that helps, or only that it has not changed."""
    kind, body, squeezed = made
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    if len(body) > SMALL and not squeezed and _takes_gzip(environ):
        body, squeezed = gzip.compress(body, 1, mtime=0), True
    headers = [("ETag", tag), ("Cache-Control", "private, no-cache"), ("Vary", "Accept-Encoding")]
    if environ.get("HTTP_IF_NONE_MATCH") == tag:
        start("304 Not Modified", headers)
        return []
    headers += [("Content-Encoding", "gzip")] if squeezed else []
    start("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
