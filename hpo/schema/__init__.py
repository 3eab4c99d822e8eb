"""Schema `hpo` beside Optuna's tables: created and upgraded safely by any number of processes at once."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import InternalError, ProgrammingError
from sqlalchemy.pool import NullPool

from hpo.database import Database, explain
from hpo.errors import DatabaseError
from hpo.schema.views import VIEWS

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_LOCK = 0x68706F  # "hpo": serialises whoever creates or upgrades
_UPGRADE = "run: hpo db upgrade"
_MAY_CREATE = "the role needs: GRANT CREATE ON DATABASE ... TO ...; GRANT CREATE ON SCHEMA public TO ..."


@cache
def head() -> str:
    """The newest version of the schema that this package knows."""
    found = ScriptDirectory.from_config(_alembic()).get_current_head()
    return str(found)


def version(connection: Connection) -> str | None:
    """The version of the schema in the database; None where there is none yet."""
    if connection.scalar(text("SELECT to_regclass('hpo.alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM hpo.alembic_version"))
    return found


def ensure(database: Database) -> None:
    """Create what is missing; raises DatabaseError where the schema is older or newer than this package."""
    head()  # reads the versions' files before a transaction begins, which the server ends where it idles
    engine = database.engine()
    with engine.connect() as connection:
        found = version(connection)
        ready = _is_complete(connection) and not _hides_public(connection)
    engine.dispose()
    if found in (None, head()) and not ready:
        upgrade(database)
    elif not ready:
        _check_known(found)
        raise DatabaseError(f"the database's schema hpo is at version {found}, this package needs {head()}; {_UPGRADE}")
    storage = _optuna(database)
    current, newest = storage.get_current_version(), storage.get_head_version()
    if current != newest:
        raise DatabaseError(f"the database's Optuna tables are at version {current}, not {newest}; {_UPGRADE}")


def upgrade(database: Database) -> None:
    """Bring Optuna's tables, ours and the views to the newest version, one process at a time.

    The lock stands on a connection of its own, since Optuna's upgrade commits on another in between; a process killed
    halfway leaves something that the next call completes.
    """
    database = replace(database, grace=0)  # no limit: large tables take their time, and nobody waits for a trial
    engine = database.engine()
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _upgrade_locked(database)
    except ProgrammingError as error:
        raise DatabaseError(f"cannot create the schema: {explain(error)}; {_MAY_CREATE}") from None
    except InternalError as error:
        if not isinstance(error.orig, psycopg2.errors.DependentObjectsStillExist):
            raise
        others = str(error.orig.diag.message_detail).replace("\n", ", ")
        advice = "drop what is built on the views of hpo, run hpo db upgrade, and make it again"
        raise DatabaseError(f"cannot upgrade the schema: {others}; {advice}") from None
    finally:
        engine.dispose()


def _upgrade_locked(database: Database) -> None:
    engine = database.engine()
    with engine.begin() as connection:
        _show_public(connection)
    engine.dispose()  # the next connection has the new search path
    storage = _optuna(database)
    old = storage.get_current_version() != storage.get_head_version()
    with engine.begin() as connection:
        if not old and _is_complete(connection):
            return  # another process was faster
        _check_known(version(connection))
        drop_views(connection)
    if old:
        storage.upgrade()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with engine.begin() as connection:
        command.upgrade(_alembic(connection), "head")
        create_views(connection)
    engine.dispose()


def _optuna(database: Database) -> RDBStorage:
    """Optuna's storage, its tables created if they are missing; it needs a true URL, to upgrade them itself."""
    import optuna

    url = database.locate().render_as_string(hide_password=False)
    return optuna.storages.RDBStorage(url, {"poolclass": NullPool}, skip_compatibility_check=True)


def _is_complete(connection: Connection) -> bool:
    views = connection.scalar(text("SELECT to_regclass('hpo.studies')"))
    return views is not None and version(connection) == head()


def _check_known(found: str | None) -> None:
    known = [script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()]
    if found is not None and found not in known:
        raise DatabaseError(
            f"the database's schema hpo is at version {found}, newer than {head()}, which this package knows; "
            "upgrade this installation of hpo"
        )


def _hides_public(connection: Connection) -> bool:
    """Whether this role finds our schema before Optuna's tables: PostgreSQL looks into a schema of the role's name
    first, and our views would stand in the place of tables of the same names."""
    user, path = connection.execute(text("SELECT current_user, current_setting('search_path')")).one()
    return bool(user == "hpo" and "$user" in path)


def _show_public(connection: Connection) -> None:
    """Let this role's next sessions in this database look into public alone."""
    if _hides_public(connection):
        quoted = connection.scalar(text("SELECT quote_ident(current_database())"))
        connection.execute(text(f"ALTER ROLE CURRENT_USER IN DATABASE {quoted} SET search_path = public"))


def drop_views(connection: Connection) -> None:
    """Remove our views: PostgreSQL refuses to alter a column that a view shows."""
    for name in reversed(list(VIEWS)):
        connection.execute(text(f"DROP VIEW IF EXISTS hpo.{name}"))


def create_views(connection: Connection) -> None:
    """Put the views back, those of this version."""
    for name, select in VIEWS.items():
        connection.execute(text(f"CREATE VIEW hpo.{name} AS {select}"))


def _alembic(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
