"""A real PostgreSQL for the whole run, a database of its own for every test, and an environment scrubbed clean."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import fakehub
import psycopg2
import pytest
import servers
from sqlalchemy.engine import make_url
from support import environment, leave

from hpo import postgres, schema
from hpo.config import Config
from hpo.database import Database, parse_url
from hpo.store import Store

# Everything of hpo, of the hub and of PostgreSQL that could leak in from the machine the tests run on.
SCRUBBED = ("HPO_", "HF_", "PG", "CUDA_VISIBLE_DEVICES", "TRANSFORMERS_", "OPTUNA_")
TEMPLATE = "template_hpo"


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith(SCRUBBED)]:
        del os.environ[name]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so its children
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"  # the same bits on every machine, and no fight for the cores
    if not hasattr(config, "workerinput"):
        # The server's account must reach it, also when root runs the tests: no folder above may be closed.
        home = tempfile.mkdtemp(prefix="hpo-tests-")
        os.chmod(home, 0o711)  # noqa: S103 - its name is random, and the server's folder in it is closed
        os.environ["TESTS_OF_HPO_HOME"] = home


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        leave(Path(os.environ.pop("TESTS_OF_HPO_HOME")))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let later collections, two in each trial, pass over what is here by now: torch alone costs each 0.2 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """The embedded server, private to this run, shared by all workers of xdist; the template is made once."""
    with postgres.lease(Path(os.environ["TESTS_OF_HPO_HOME"])) as found:
        with _admin(found) as cursor:
            cursor.execute("SELECT pg_advisory_lock(1)")
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (TEMPLATE,))
            if cursor.fetchone() == (0,):
                cursor.execute(f"CREATE DATABASE {TEMPLATE}_raw")
                schema.ensure(Database(locate=lambda: make_url(found.url(f"{TEMPLATE}_raw"))))
                cursor.execute(f"ALTER DATABASE {TEMPLATE}_raw RENAME TO {TEMPLATE}")
        yield found


@pytest.fixture
def empty_url(server: postgres.Server) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    yield from _database(server, "template1")


@pytest.fixture
def url(server: postgres.Server) -> Iterator[str]:
    """The URL of a database with the schema in it."""
    yield from _database(server, TEMPLATE)


@pytest.fixture
def config(url: str, tmp_path: Path) -> Config:
    """The configuration of a test: its own database, its own home, quick beats."""
    return Config(home=tmp_path / "home", database_url=url, beat=0.2, grace=1.5, patience=30)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store on the test's database."""
    database = Database(locate=lambda: parse_url(url))
    schema.ensure(database)
    found = Store(database)
    yield found
    found.close()


@pytest.fixture
def hpo(config: Config) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `hpo` as a process, as a user would; `check=False` returns whatever the exit code."""

    def run(*arguments: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "hpo", *arguments],
            env=environment(config) | environ,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


class _admin:  # noqa: N801 - reads as a verb
    """A cursor on the server's own database, outside any transaction."""

    def __init__(self, server: postgres.Server) -> None:
        url = make_url(server.psql_url())
        self.connection = psycopg2.connect(server.psql_url())
        self.connection.autocommit = True
        assert url.host == postgres.HOST

    def __enter__(self) -> psycopg2.extensions.cursor:
        return self.connection.cursor()

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def _database(server: postgres.Server, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    with _admin(server) as cursor:
        _copied(cursor, name, template)
    yield server.url(name)
    with _admin(server) as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _copied(cursor: psycopg2.extensions.cursor, name: str, template: str) -> None:
    """Make a database; a disk that is said to be full is asked twice more: one with 69 GB free has said so."""
    statement = f"CREATE DATABASE {name} TEMPLATE {template}"
    for pause in (1, 5):
        with suppress(psycopg2.errors.DiskFull):
            cursor.execute(statement)
            return
        time.sleep(pause)
    cursor.execute(statement)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home for servers of the test's own."""
    yield tmp_path / "home"
    servers.clean_up(tmp_path / "home")


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that every account may enter, unlike pytest's own folders."""
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    yield home
    servers.clean_up(home)


@pytest.fixture
def fake_hub() -> Iterator[fakehub.Hub]:
    """A hub of this machine, with nothing in it."""
    with fakehub.serving() as hub:
        yield hub
