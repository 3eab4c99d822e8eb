"""A PostgreSQL private to one run: made, leased, removed."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from hpo import postgres
from hpo.config import Config
from hpo.pgfiles import is_free


@dataclass(frozen=True)
class Private:
    """The embedded server of a home that nobody else knows."""

    home: Path
    server: postgres.Server

    @property
    def config(self) -> Config:
        """The configuration of who uses this server as the embedded one, as a user without a URL does."""
        return Config(home=self.home)

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.execute(f"CREATE DATABASE {name}")
        return self.server.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside any transaction."""
        with closing(psycopg2.connect(self.server.psql_url(database))) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


@contextmanager
def private() -> Iterator[Private]:
    """A server for the length of the block."""
    home = Path(tempfile.mkdtemp(prefix="hpo-bench-"))
    home.chmod(0o711)  # the server's account must reach it; the server's own folder in it is closed
    try:
        with postgres.lease(home) as server:
            yield Private(home, server)
    finally:
        postgres.stop(home, force=True)
        _outwait_watchdog(home)
        shutil.rmtree(home, ignore_errors=True)


def _outwait_watchdog(home: Path, seconds: float = 30.0) -> None:
    """The watchdog looks once more after the last lease and takes a lock: it must not write into what is removed."""
    until, lock = time.monotonic() + seconds, home / "postgres" / f"watchdog-{socket.gethostname()}"
    while not is_free(lock) and time.monotonic() < until:
        time.sleep(0.1)


def environment(config: Config) -> dict[str, str]:
    """The environment of a child process: this machine's, with nothing of hpo's or Optuna's but the configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HPO_", "PG", "OPTUNA_"))}
    return kept | config.environ() | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
