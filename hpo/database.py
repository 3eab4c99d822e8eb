"""One PostgreSQL for a process: the one that HPO_DATABASE_URL names, or the embedded server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, TimeoutError

from hpo import postgres
from hpo.config import VARIABLES, Config
from hpo.errors import DatabaseError

DRIVER = "postgresql+psycopg2"
LOST = (OperationalError, InterfaceError, TimeoutError, DatabaseError)
"""What a server that went away raises; TimeoutError is the pool's, whose connections wait for an answer."""
_WRITES_NOTHING = {"25006", "25P03"}
"""Codes of a server that is read-only for a while, as in a failover, and of a session that it has ended; to psycopg2
they are faults of the program."""
_ACCEPTED = {"postgres", "postgresql", DRIVER}
_VARIABLE = VARIABLES["database_url"]
_ADVICE = {
    "refused": "; is the server running there, under this port?",
    "could not translate": "; is the host's name right?",
    "password": "; keep the right one in a passfile, in PGPASSWORD or in the variable's URL",
    "does not exist": "; an administrator makes it: CREATE ROLE ... LOGIN, CREATE DATABASE ... OWNER ...",
}
"""What to do about a server's refusal, by a part of it; a server that speaks another language gets none."""


@dataclass(frozen=True)
class Database:
    """Where the database is. `locate` gives its URL now: the embedded server may have moved to another port.

    A process that is frozen in the middle of a transaction loses its connection, and with it its locks, after `grace`
    seconds: the time after which its trial is another's anyway.
    """

    locate: Callable[[], URL] = field(repr=False)
    grace: float = Config.grace

    def engine_options(self) -> dict[str, Any]:
        """What an engine of a worker needs: a connection, checked before use, found anew when it is lost; and a second
        one for as long as two are used at once."""
        return {"creator": self._connect, "pool_size": 1, "max_overflow": 1, "pool_pre_ping": True, "pool_timeout": 300}

    def engine(self) -> Engine:
        """An engine of our own."""
        return minded(create_engine(f"{DRIVER}://", **self.engine_options()))

    def _connect(self) -> Any:
        url = self.locate()
        arguments = url.translate_connect_args(username="user", database="dbname")
        keepalive = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        keepalive["tcp_user_timeout"] = 30_000  # ms; no keepalive is sent while data is unacknowledged
        options = {"connect_timeout": 10, "application_name": "hpo", **keepalive, **url.query, **arguments}
        connection = psycopg2.connect(**options)
        with connection, connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = %s", (min(round(self.grace * 1000), 2**31 - 1),))
        return connection


def minded(engine: Engine) -> Engine:
    """The engine, to which a server that is read-only for a while, as in a failover, is one that went away."""
    event.listen(engine, "handle_error", _as_lost)
    return engine


def _as_lost(context: ExceptionContext) -> OperationalError | None:
    """What to raise instead, with the connection given up: the server that is left has its successor elsewhere."""
    error = context.original_exception
    if getattr(error, "pgcode", None) not in _WRITES_NOTHING:
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, context.parameters, error)


@contextmanager
def connect(config: Config) -> Iterator[Database]:
    """The database of this configuration, kept running until the end of the block.

    Raises DatabaseError where a URL is not PostgreSQL's or the server does not answer.
    """
    if config.database_url is not None:
        url = parse_url(config.database_url)
        yield _reached(Database(lambda: url, config.grace))
        return
    with postgres.lease(config.home, config.pg_bin, config.pg_user):
        yield Database(lambda: _embedded_url(config), config.grace)


def running(config: Config) -> Database | None:
    """The database if there is a URL for it or the embedded server runs; starts nothing. Raises DatabaseError."""
    if config.database_url is not None:
        url = parse_url(config.database_url)
        return Database(lambda: url, config.grace)
    server = postgres.find(config.home)
    return Database(lambda: make_url(server.url()), config.grace) if server else None


def parse_url(text: str) -> URL:
    """A PostgreSQL URL in the form that SQLAlchemy takes, a password where it can be hidden.

    Raises DatabaseError for anything else.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise DatabaseError(f"{_VARIABLE}: not a URL; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if url.drivername not in _ACCEPTED:
        raise DatabaseError(
            f"{_VARIABLE}: {url.drivername}:// is not supported, only PostgreSQL is; write "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset it to use the embedded server"
        )
    if "@" in (url.host or ""):
        raise DatabaseError(f"{_VARIABLE}: has more than one @; write one within a user's name or password as %40")
    late = url.normalized_query.get("password")
    url = url.set(password=late[-1]).difference_update_query(["password"]) if late else url
    return url.set(drivername=DRIVER)


def without_password(url: URL) -> URL:
    """The URL as anyone may see it; `URL.set` would pass over a None."""
    return url._replace(password=None)


def is_refusal(error: BaseException) -> bool:
    """Whether the database went away or denies its role what was asked: not for us to mend."""
    cause: BaseException | None = error  # Optuna wraps what it gets
    while cause is not None:
        if isinstance(cause, LOST) or isinstance(getattr(cause, "orig", None), psycopg2.errors.InsufficientPrivilege):
            return True
        cause = cause.__cause__
    return False


# What PostgreSQL and PgBouncer say; no error code comes with a connection that was refused.
_FULL = re.compile(
    "too many clients|too many connections|connection slots are reserved|no more connections allowed|query_wait_timeout"
)


def is_full(error: BaseException) -> bool:
    """Whether the server is there and has no connection left for us."""
    return _FULL.search(explain(error)) is not None


# What a server says that is starting, ending or broken off, and what is said of one that does not answer.
_PASSING = re.compile(
    "Connection (refused|reset)|timed out|timeout expired|No route to host|Network is unreachable"
    "|starting up|shutting down|in recovery mode|not (yet )?accepting connections|terminating connection"
    "|read-only transaction"
    "|server closed the connection|SSL connection has been closed"
    "|server_login_retry|client_login_timeout|server_connect_timeout|cannot connect to server"
)


def is_passing(error: BaseException) -> bool:
    """Whether waiting may help: the server is away, or has no connection left; not where it refuses who asks, has no
    such database, or where its name is unknown."""
    return is_full(error) or _PASSING.search(explain(error)) is not None


def explain(error: BaseException) -> str:
    """The server's own first line, without statement and parameters: what it says of us before what other addresses of
    its name say."""
    while error.__cause__ is not None and not hasattr(error, "orig"):
        error = error.__cause__
    lines = str(getattr(error, "orig", error)).strip().splitlines()
    return next((line for line in lines if "FATAL" in line), lines[0] if lines else type(error).__name__)


def _embedded_url(config: Config) -> URL:
    return make_url(postgres.attach(config.home, config.pg_bin, config.pg_user).url())


def _reached(database: Database) -> Database:
    try:
        database._connect().close()
    except psycopg2.Error as error:  # one of the program where the URL has an option that is none
        where = database.locate().render_as_string(hide_password=True)
        said = explain(error)
        advice = next((advice for mark, advice in _ADVICE.items() if mark in said), "")
        raise DatabaseError(f"{_VARIABLE}: cannot reach {where}: {said}{advice}") from None
    return database


def refuse_password(text: str) -> None:
    """Raise DatabaseError for a URL with a password: a command line is open to every user of the machine."""
    if parse_url(text).password is not None:
        raise DatabaseError(
            f"--database-url: a password on the command line can be read by others; set {_VARIABLE} instead, "
            "or write ...?passfile=FILE"
        )
