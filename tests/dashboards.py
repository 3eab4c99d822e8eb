"""The dashboard in a thread, and questions to it over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from waitress import wasyncore

from hpo.cli.serve import dashboard as command
from hpo.config import Config
from hpo.dashboard import access, listen, made
from hpo.store import open_store

TOKEN = "t" * 43


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Dashboard:
    """A dashboard that runs; `cookie` is sent with every question once `enter` has set it."""

    port: int
    link: str
    cookie: str = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
        """A question with these headers, underscores for dashes."""
        given = {"Cookie": self.cookie} if self.cookie else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, given)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())

    def change(self, path: str, method: str, body: bytes | None = b"{}", **headers: str) -> Reply:
        """A write as the page itself sends it."""
        return self.ask(path, method, body, **{"Origin": self.origin, "Content_Type": "application/json"} | headers)

    def log_in(self, password: str) -> Reply:
        """The form as a browser sends it."""
        return self.ask("/login", "POST", f"password={password}".encode(), Origin=self.origin)

    def enter(self, reply: Reply | None = None) -> Dashboard:
        """Keep the cookie of this reply, or of opening the link."""
        reply = reply or self.ask(self.link.removeprefix(self.origin))
        assert reply.status == 200, reply.body
        self.cookie = reply.headers["Set-Cookie"].partition(";")[0]
        return self

    def raw(self, sent: bytes, timeout: float = 60) -> bytes:
        """What comes back for these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def dashboard(config: Config, *options: str, password: str | None = None) -> Iterator[Dashboard]:
    """What `hpo dashboard` serves with these options, in a thread, on a port that is free now."""
    given = command.make_context("dashboard", list(options)).params
    listening = listen(given["host"], 0)
    port = listening.getsockname()[1]
    found = access.decide(
        given["host"], given["names"], TOKEN, password, given["trust_header"], given["proxies"], given["write"]
    )
    with listening, open_store(config) as store, made(config, store, found, listening) as server:
        running = threading.Thread(target=server.run, daemon=True)
        running.start()
        try:
            yield Dashboard(port, f"http://127.0.0.1:{port}/?token={TOKEN}")
        finally:
            stop(server, running)


def stop(server: Any, running: threading.Thread) -> None:
    """End the loop by emptying its map within it, and close what was in it once no thread wakes the loop any more."""
    kept: dict[int, Any] = {}

    def empty() -> None:
        kept.update(server._map)
        server._map.clear()

    server.trigger.pull_trigger(empty)
    running.join(60)
    for channel in list(server.active_channels.values()):
        channel.handle_close()
    server.task_dispatcher.shutdown(timeout=30)
    wasyncore.close_all(kept, ignore_all=True)
