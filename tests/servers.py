"""Embedded servers of a test's own: held by processes, asked, watched, and cleaned away."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy
from sqlalchemy.pool import NullPool
from support import wait_until

from hpo import pgfiles, postgres

PROJECT = Path(postgres.__file__).resolve().parents[1]
HOLD = """
import sys
from pathlib import Path
from hpo import postgres
with postgres.lease(Path(sys.argv[1])) as server:
    print(server.url(), flush=True)
    sys.stdin.read()
"""
IS_ROOT = os.geteuid() == 0


def clean_up(home: Path) -> None:
    postgres.stop(home, force=True)
    for pid in watchdogs(home):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not watchdogs(home))
    shutil.rmtree(home, ignore_errors=True)
    if IS_ROOT:
        shutil.rmtree(pgfiles._shared_data(home.resolve() / "postgres").parent, ignore_errors=True)
        with suppress(OSError):
            pgfiles.SHARED.rmdir()


def watchdogs(home: Path) -> list[int]:
    seen = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    ends = f"{postgres.WATCH} {PROJECT} {home.resolve()}"
    return [int(line.split()[0]) for line in seen.splitlines() if line.endswith(ends)]


def hold(home: Path, code: str = HOLD, **options: object) -> subprocess.Popen[str]:
    """A process that holds a lease; its first line says that it has it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": PROJECT}
    return subprocess.Popen([sys.executable, "-c", code, str(home)], **pipes, **options)


@contextmanager
def holding(home: Path) -> Iterator[subprocess.Popen[str]]:
    with hold(home) as process:
        assert process.stdout.readline().startswith("postgresql+psycopg2://")
        yield process
        process.kill()


def query(url: str, statement: str) -> object:
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        return result.scalar() if result.returns_rows else None


def run_ended(home: Path) -> bool:
    return not postgres.status(home).running


def data_parent(home: Path) -> Path:
    """Where the data folder is or will be, for the test's user."""
    root = home.resolve() / "postgres"
    return pgfiles._shared_data(root).parent if IS_ROOT else root


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
