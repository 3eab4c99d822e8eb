"""Which URLs are taken, what a database that is not there says, and passwords that nobody sees."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg2
import pytest
from moves import claimed, spec
from sqlalchemy.engine import make_url
from support import environment, wait_until

from hpo import postgres, schema
from hpo.cli import COMMANDS, group
from hpo.config import Config
from hpo.database import LOST, Database, connect, is_passing, parse_url, refuse_password
from hpo.errors import DatabaseError
from hpo.store import Store

Run = Callable[..., Any]
SECRET = "s3cret-Pa55"
RIGHT = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@pytest.fixture
def secret_url(url: str) -> Iterator[str]:
    """The test's database under a role whose password stands in the URL."""
    place, role = make_url(url), f"role_{os.getpid()}"
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as admin:
        admin.autocommit = True
        cursor = admin.cursor()
        cursor.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{SECRET}'")
        yield f"postgresql://{role}:{SECRET}@{place.host}:{place.port}/{place.database}"
        cursor.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        cursor.execute(f"DROP OWNED BY {role}")
        cursor.execute(f"DROP ROLE {role}")


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else is given meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_the_schemes_of_postgresql_are_taken(scheme: str, toy: Config) -> None:
    url = f"{scheme}:{str(toy.database_url).partition(':')[2]}"
    with connect(replace(toy, database_url=url)) as database:
        engine = database.engine()
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM hpo.studies").scalar() == 1
        engine.dispose()


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            f"{scheme}://one:{SECRET}@here/x",
            f"{scheme}:// is not supported, only PostgreSQL is; {RIGHT}, or unset it to use the embedded server",
        )
        for scheme in ("sqlite", "mysql", "mysql+pymysql", "postgresql+psycopg", "postgresql+asyncpg", "http")
    ]
    + [
        (text, f"not a URL; {RIGHT}")
        for text in ("garbage", f"://{SECRET}", f"one:{SECRET}@here", f"postgresql://one:{SECRET}@here:port/x", " ")
    ],
)
def test_another_url_is_refused(url: str, line: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        parse_url(url)
    assert str(refused.value) == f"HPO_DATABASE_URL: {line}"


def test_a_refused_url_is_one_line_of_a_command(run: Run) -> None:
    found = run("studies", HPO_DATABASE_URL="sqlite:///studies.db")
    assert (found.code, found.out) == (1, "")
    assert found.err == (
        "Error: HPO_DATABASE_URL: sqlite:// is not supported, only PostgreSQL is; "
        f"{RIGHT}, or unset it to use the embedded server\n"
    )


@pytest.mark.parametrize("url", ["postgres://one:{}@127.0.0.1:{}/x", "postgresql://one@127.0.0.1:{1}/x?password={0}"])
def test_a_dead_port_is_one_line_without_the_password(url: str, dead_port: int, run: Run) -> None:
    found = run("studies", HPO_DATABASE_URL=url.format(SECRET, dead_port))
    assert (found.code, found.out) == (1, "")
    assert re.fullmatch(
        rf"Error: HPO_DATABASE_URL: cannot reach postgresql\+psycopg2://one:\*\*\*@127.0.0.1:{dead_port}/x: "
        rf'connection to server at "127.0.0.1", port {dead_port} failed: Connection refused; '
        r"is the server running there, under this port\?\n",
        found.err,
    )


AT = 'connection to server at "db" (10.0.0.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "passing"),
    [
        (f"{AT}Connection refused\n\tIs the server running on that host?", True),
        (f"{AT}timeout expired", True),
        (f"{AT}No route to host", True),
        (f"{AT}FATAL:  the database system is starting up", True),
        (f"{AT}FATAL:  the database system is not yet accepting connections", True),
        (f"{AT}FATAL:  the database system is shutting down", True),
        (f"{AT}FATAL:  sorry, too many clients already", True),
        (f"{AT}server closed the connection unexpectedly\n\tThis probably means ...", True),
        (f"{AT}FATAL:  server login has been failing, try again later (server_login_retry)", True),
        (f'{AT}FATAL:  password authentication failed for user "one"', False),
        (f"{AT}fe_sendauth: no password supplied", False),
        (f'{AT}FATAL:  database "x" does not exist', False),
        (f"{AT}FATAL:  no pg_hba.conf entry for host", False),
        (f"{AT}server does not support SSL, but SSL was required", False),
        ('could not translate host name "nowhere" to address: Name or service not known', False),
        (f"{AT}Connection refused\n\tIs it running?\n{AT}FATAL:  password authentication failed", False),
    ],
)
def test_what_waiting_helps_against(said: str, passing: bool) -> None:
    assert is_passing(psycopg2.OperationalError(said)) == passing


@pytest.mark.parametrize(
    ("user", "password", "database", "line"),
    [
        ("hpo", SECRET, "hpo", 'password authentication failed for user "hpo"'),
        ("nobody", SECRET, "hpo", 'password authentication failed for user "nobody"'),
        (None, None, "nowhere", 'database "nowhere" does not exist'),
    ],
)
def test_a_refused_connection_is_one_line(
    server: postgres.Server, run: Run, user: str | None, password: str | None, database: str, line: str
) -> None:
    url = make_url(server.url(database))
    url = url.set(username=user, password=password, query={}) if user else url
    found = run("status", "-s", "toy", HPO_DATABASE_URL=url.render_as_string(hide_password=False))
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("Error: HPO_DATABASE_URL: cannot reach postgresql+psycopg2://")
    assert f"FATAL:  {line}; " in found.err  # and what to do
    assert found.err.count("\n") == 1
    assert SECRET not in found.err


def test_a_url_is_no_word_of_the_configuration_alone(run: Run, toy: Config) -> None:
    found = run("--database-url", str(toy.database_url), "studies", "--json", HPO_DATABASE_URL="sqlite://")
    assert found.code == 0
    assert '"study": "toy"' in found.out


@pytest.mark.parametrize("url", ["postgresql://one:{}@here/x", "postgres://here/x?user=one&password={}"])
def test_a_password_on_the_command_line_is_refused(url: str, run: Run) -> None:
    found = run("--database-url", url.format(SECRET), "studies")
    assert (found.code, found.out) == (1, "")
    assert found.err == (
        "Error: --database-url: a password on the command line can be read by others; set HPO_DATABASE_URL instead, "
        "or write ...?passfile=FILE\n"
    )


def test_a_passfile_on_the_command_line_is_right() -> None:
    refuse_password("postgresql://one@here/x?passfile=/home/one/.pgpass")


def test_a_url_with_odd_characters_is_not_broken() -> None:
    url = parse_url("postgresql://a%40b:p%2F%3Fq@here:1/x%20y?sslmode=require&password=late")
    assert (url.username, url.password, url.database) == ("a@b", "late", "x y")
    assert dict(url.query) == {"sslmode": "require"}


def commands() -> list[list[str]]:
    """Every command that ends by itself, with what makes it talk to the database, and its help."""
    queries = [["-s", "nowhere"], ["-s", "nowhere", "--json"]]
    talking = [[name, *query] for name in ("status", "trials", "best", "logs") for query in queries]
    helps = [[name, "--help"] for name in COMMANDS]
    return [
        *([["--help"], ["--version"], ["studies"], ["studies", "--json"], *talking, *helps]),
        *([["show", "-s", "nowhere", "1"], ["export", "-s", "nowhere"], ["delete", "-s", "nowhere", "-y"]]),
        *([["enqueue", "-s", "nowhere", "--set", "a=1"], ["launch", "-s", "nowhere"], ["check", "bert-news"]]),
        *([["db", name] for name in ("status", "url", "start", "stop", "upgrade")]),
        *([["db", "status", "--json"], ["db", "url", "--psql"]]),
        *([["db", name, "--help"] for name in group.get_command(None, "db").commands]),  # type: ignore[arg-type,union-attr]
    ]


@pytest.mark.parametrize("how", ["in its place", "as an option"])
def test_no_command_says_the_password(how: str, secret_url: str, run: Run) -> None:
    url = secret_url
    if how == "as an option":
        url = secret_url.replace(f":{SECRET}", "") + f"?password={SECRET}"
    for command in commands():
        found = run(*command, HPO_DATABASE_URL=url)
        assert SECRET not in found.out + found.err, command
        assert "Traceback" not in found.err, command


def test_status_of_a_server_of_ones_own(secret_url: str, run: Run) -> None:
    place = make_url(secret_url)
    found = run("db", "status", HPO_DATABASE_URL=secret_url)
    assert f"postgresql+psycopg2://{place.username}:***@127.0.0.1:{place.port}/{place.database}" in found.out
    assert re.search(rf"^schema +{schema.head()} *$", found.out, re.MULTILINE)


def test_the_url_of_a_server_of_ones_own_is_printed_without_its_password(secret_url: str, run: Run) -> None:
    found = run("db", "url", "--psql", HPO_DATABASE_URL=secret_url)
    assert found.out == secret_url.replace(f":{SECRET}", "") + "\n"
    assert found.err == "the password is left out: give it as PGPASSWORD or in a passfile\n"


@pytest.mark.parametrize("option", [(), ("--psql",)])
def test_the_url_of_the_embedded_server_has_its_passfile(url: str, run: Run, option: tuple[str, ...]) -> None:
    found = run("db", "url", *option)
    assert make_url(found.out.strip()) == make_url(url.replace("+psycopg2", "") if option else url)
    assert found.err == ""
    passfile = Path(unquote(make_url(url).query["passfile"]))  # type: ignore[arg-type]
    assert passfile.read_text().strip().rpartition(":")[2] not in found.out
    assert passfile.stat().st_mode & 0o077 == 0


def test_psql_gets_the_password_aside_from_its_arguments(secret_url: str, hpo: Run, tmp_path: Path) -> None:
    program = tmp_path / "psql"
    program.write_text('#!/bin/sh\necho "arguments: $*"\necho "password: $PGPASSWORD" >&2\nexit 3\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = hpo("db", "psql", "-c", "SELECT 1", check=False, HPO_DATABASE_URL=secret_url, PATH=path)
    assert found.stdout == f"arguments: {secret_url.replace(f':{SECRET}', '')} -c SELECT 1\n"
    assert found.stderr == f"password: {SECRET}\n"
    assert found.returncode == 3


def test_an_at_sign_within_a_password_is_told_without_it() -> None:
    with pytest.raises(
        DatabaseError, match="has more than one @; write one within a user's name or password as %40"
    ) as no:
        parse_url("postgresql://hpo:pa@ss@db/lab")
    assert "ss" not in str(no.value).replace("password", "")
    assert parse_url("postgresql://hpo:pa%40ss@db/lab").password == "pa@ss"


def test_an_option_that_is_none_is_one_line(run: Run, config: Config) -> None:
    for command in (["studies"], ["launch", "-s", "bert-news"]):
        found = run(*command, HPO_DATABASE_URL=f"{config.database_url}&pgbouncer=true")
        assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
        assert re.search(r"HPO_DATABASE_URL: cannot reach .*invalid .*pgbouncer", found.err), found.err


def test_a_grace_of_months_is_one(config: Config) -> None:
    with connect(replace(config, grace=90 * 86400.0)) as database, database.engine().connect() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "2147483647ms"


def test_ctrl_c_within_psql_is_psqls_own(url: str, config: Config, tmp_path: Path) -> None:
    """It clears a line or ends a query there, and the session goes on."""
    program = tmp_path / "psql"
    lines = (
        "import signal, sys, time",
        "heard = []",
        "signal.signal(signal.SIGINT, lambda *_: heard.append(1))",
        "print('ready', flush=True)",
        "until = time.monotonic() + 60",
        "while not heard and time.monotonic() < until: time.sleep(0.05)",
        "time.sleep(1)",
        "print('still here', flush=True)",
    )
    program.write_text(f"#!{sys.executable}\n" + "\n".join(lines) + "\n")
    program.chmod(0o755)
    environ = environment(config) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "hpo", "db", "psql"]
    psql = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert psql.stdout is not None
    assert psql.stdout.readline() == "ready\n"
    os.killpg(psql.pid, signal.SIGINT)
    assert (psql.communicate(timeout=60)[0], psql.returncode) == ("still here\n", 0)


def test_no_process_or_log_of_a_launch_shows_the_password(
    secret_url: str, config: Config, toy_file: Path, tmp_path: Path
) -> None:
    """All of the launcher's and the workers' command lines, as `ps` shows them, and all that they write."""
    config = replace(config, database_url=secret_url)
    command = [sys.executable, "-m", "hpo", "launch", "-s", str(toy_file), "--set", "trials=1"]
    seen: set[str] = set()

    def look() -> bool:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(process.read_text().replace("\0", " "))
            except OSError:
                continue
        return launch.poll() is not None

    with (tmp_path / "said").open("w+") as said:
        launch = subprocess.Popen(command, env=environment(config), stdout=said, stderr=said)
        wait_until(look, 60)
        written = [(tmp_path / "said").read_text(), *(path.read_text() for path in config.logs.rglob("*.log"))]
    assert launch.returncode == 0, written
    assert any("hpo.worker" in line and "--study toy" in line for line in seen)
    assert len(written) == 2
    assert not any(SECRET in text for text in [*seen, *written])


def test_a_connection_that_falls_silent_is_given_up(url: str) -> None:
    connection = Database(lambda: make_url(url))._connect()
    with closing(connection):
        assert connection.get_dsn_parameters()["tcp_user_timeout"] == "30000"


def test_a_server_that_is_read_only_for_a_while_is_one_that_is_away(store: Store, url: str) -> None:
    """As in a failover, or where a provider's disk is full; the next connection may be to another server."""
    name = make_url(url).database
    store.create(spec())
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as admin:
        admin.autocommit = True
        cursor = admin.cursor()
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        store.engine.dispose()
        with pytest.raises(LOST, match=r"cannot execute .* in a read-only transaction") as refused:
            claimed(store)
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    assert is_passing(refused.value)
    assert claimed(store).number == 0
