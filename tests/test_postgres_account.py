"""Whose the embedded server is: its password, its files, and the account that runs it for root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy
from servers import IS_ROOT, mode, query

from hpo import pgfiles, postgres
from hpo.errors import DatabaseError

only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can be another account")


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
