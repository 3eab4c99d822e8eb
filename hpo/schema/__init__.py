"""Schema `hpo` beside Optuna's tables: created and upgraded safely by any number of processes at once."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from hpo.database import Database, explain
from hpo.errors import DatabaseError
from hpo.schema.views import VIEWS

_LOCK = 0x68706F  # "hpo": serialises whoever creates or upgrades
_MAY_CREATE = "the role needs: GRANT CREATE ON DATABASE ... TO ...; GRANT CREATE ON SCHEMA public TO ..."


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
    engine = database.engine()
    _look_at_public(engine)
    with engine.connect() as connection:
        found, complete = version(connection), connection.scalar(text("SELECT to_regclass('hpo.studies')")) is not None
    engine.dispose()
    if found is None or (found == head() and not complete):
        upgrade(database)
    elif found != head():
        known = any(script.revision == found for script in ScriptDirectory.from_config(_alembic()).walk_revisions())
        raise DatabaseError(
            f"the database's schema hpo is at version {found}, this package needs {head()}; "
            + ("run: hpo db upgrade" if known else "upgrade this installation of hpo")
        )


def upgrade(database: Database) -> None:
    """Bring Optuna's tables, ours and the views to the newest version, one process at a time.

    The lock stands on a connection of its own, since Optuna's upgrade commits on another in between; a process killed
    halfway leaves something that the next call completes.
    """
    engine = database.engine()
    _look_at_public(engine)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _upgrade_locked(database)
    except ProgrammingError as error:
        raise DatabaseError(f"cannot create the schema: {explain(error)}; {_MAY_CREATE}") from None
    finally:
        engine.dispose()


def _look_at_public(engine: Engine) -> None:
    """A role named hpo would find our schema first, by PostgreSQL's default "$user", and our views in the place of
    Optuna's tables of the same names; its sessions in this database look into public alone."""
    with engine.begin() as connection:
        user, database, path = connection.execute(
            text("SELECT current_user, current_database(), current_setting('search_path')")
        ).one()
        if user == "hpo" and "$user" in path:
            quoted = engine.dialect.identifier_preparer.quote(database)
            connection.execute(text(f"ALTER ROLE CURRENT_USER IN DATABASE {quoted} SET search_path = public"))
    engine.dispose()


def _upgrade_locked(database: Database) -> None:
    engine = database.engine()
    with engine.begin() as connection:
        drop_views(connection)
    import optuna

    url = database.locate().render_as_string(hide_password=False)
    storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True)
    if storage.get_current_version() != storage.get_head_version():
        storage.upgrade()
    storage.engine.dispose()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with engine.begin() as connection:
        command.upgrade(_alembic(connection), "head")
        create_views(connection)
    engine.dispose()


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
