"""The embedded server where something is killed, stale, taken or broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import HOLD, IS_ROOT, PROJECT, data_parent, hold, holding, query, run_ended, watchdogs
from support import wait_until

from hpo import pgfiles, postgres
from hpo.errors import DatabaseError

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


def test_lost_passfile_is_made_anew(home: Path) -> None:
    with postgres.lease(home) as server:
        server.passfile.unlink()
        with postgres.lease(home) as again:
            assert query(again.url(), "SELECT 1") == 1
