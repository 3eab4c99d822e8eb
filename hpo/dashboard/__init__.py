"""optuna-dashboard behind a guard, with its costly answers kept."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import optuna_dashboard
import waitress
from optuna.artifacts import FileSystemArtifactStore

from hpo.config import Config
from hpo.dashboard.access import Access
from hpo.dashboard.answers import Answers
from hpo.dashboard.guard import Guard
from hpo.dashboard.readonly import ReadOnly
from hpo.errors import HpoError
from hpo.store import Store

HEADERS = 32_768  # bytes
BODY = 1_000_000  # bytes; an artifact that is uploaded may have more
UPLOAD = 100_000_000


def listen(host: str, port: int) -> socket.socket:
    """The socket of the dashboard; raises HpoError where it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
    except OSError as error:
        raise HpoError(f"--host {host}: {error.strerror}") from None
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(1024)  # from here on a browser waits, and is not refused
    except OSError as error:
        found.close()
        advice = "choose another with --port" if error.errno != 99 else "no address of this machine"
        raise HpoError(f"port {port} on {host}: {error.strerror}; {advice}") from None
    return found


def serve(config: Config, store: Store, access: Access, listening: socket.socket) -> None:
    """Serve until interrupted. One process with threads: the cache is per process, and makes each poll cheap."""
    logging.getLogger("waitress").setLevel(logging.ERROR)
    with made(config, store, access, listening) as server:
        server.run()


@contextmanager
def made(config: Config, store: Store, access: Access, listening: socket.socket) -> Iterator[Any]:
    """A server of waitress's that answers while it is run, and reads the newest studies meanwhile."""
    folder = config.home / "artifacts" / "dashboard"
    folder.mkdir(parents=True, exist_ok=True)
    inner = optuna_dashboard.wsgi(
        optuna.storages.get_storage(store.storage), artifact_store=FileSystemArtifactStore(folder)
    )
    engine = store.database.engine()
    answers = Answers(inner, engine)
    warming = threading.Thread(target=answers.warm, daemon=True)
    warming.start()
    try:
        yield waitress.create_server(
            Guard(answers if access.write else ReadOnly(answers), access, listening.getsockname()[1]),
            sockets=[listening],
            threads=8,
            ident=None,
            connection_limit=200,
            channel_timeout=30,
            max_request_header_size=HEADERS,
            max_request_body_size=UPLOAD if access.write else BODY,
        )
    finally:
        engine.dispose()
