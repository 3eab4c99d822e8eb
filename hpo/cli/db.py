"""The command `hpo db`: the database itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from hpo import postgres, tables
from hpo.cli import options
from hpo.config import Config
from hpo.database import connect, parse_url, without_password
from hpo.errors import DatabaseError


@click.group()
def db() -> None:
    """The database: the embedded server, or the one that HPO_DATABASE_URL names.

    Example: hpo db url
    """


@db.command()
@options.as_json
@click.pass_obj
def status(config: Config, as_json: bool) -> None:
    """Where the database is and whether it runs.

    Example: hpo db status
    """
    found = _external(config.database_url) if config.database_url else _embedded(config)
    tables.print_json(found) if as_json else tables.show(found.items(), ("database", ""))


@db.command()
@click.option("--psql", is_flag=True, help="The form that psql and libpq take.")
@click.pass_obj
def url(config: Config, psql: bool) -> None:
    """Print the database's URL for other programs; the embedded server then runs until `hpo db stop`.

    Example: psql "$(hpo db url --psql)" -c "SELECT * FROM hpo.best_params"
    """
    if config.database_url:
        found = parse_url(config.database_url)
        if found.password:
            click.echo("the password is left out: give it as PGPASSWORD or in a passfile", err=True)
        found = without_password(found).set(drivername="postgresql" if psql else found.drivername)
        click.echo(found.render_as_string())
        return
    server = _kept(config)
    click.echo(server.psql_url() if psql else server.url())


@db.command()
@click.pass_obj
def start(config: Config) -> None:
    """Start the embedded server and keep it running until `hpo db stop`.

    Example: hpo db start
    """
    _only_embedded(config)
    _kept(config)


@db.command()
@options.yes
@click.pass_obj
def stop(config: Config, yes: bool) -> None:
    """Stop the embedded server; asks while other processes use it.

    Example: hpo db stop
    """
    _only_embedded(config)
    if postgres.status(config.home).in_use and not yes:
        options.confirm("Other processes use the database now. Stop it all the same?")
        yes = True
    stopped = postgres.stop(config.home, force=yes)
    click.echo("stopped" if stopped else "it was not running", err=True)


@db.command()
@click.pass_obj
def upgrade(config: Config) -> None:
    """Bring Optuna's tables, schema hpo and its views to the newest version.

    Example: hpo db upgrade
    """
    from hpo import schema

    with connect(config) as database:
        schema.upgrade(database)
    click.echo(f"the schema is at version {schema.head()}", err=True)


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def psql(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Open psql on the database; arguments are psql's.

    Example: hpo db psql -c "SELECT study, number, value FROM hpo.best_params"
    """
    import shutil
    import signal
    import subprocess

    config: Config = context.obj
    with connect(config) as database:
        place = database.locate().set(drivername="postgresql")
        own = None if config.database_url else postgres.attach(config.home, config.pg_bin, config.pg_user).bin / "psql"
        program = str(own) if own and own.exists() else shutil.which("psql")
        if program is None:
            raise DatabaseError(
                "there is no psql here: install a PostgreSQL client, or use another one with hpo db url"
            )
        password = {"PGPASSWORD": str(place.password)} if place.password else {}
        where = without_password(place).render_as_string()
        signal.signal(signal.SIGINT, lambda *_: None)  # psql's own: it clears a line, or ends a query
        done = subprocess.run([program, where, *arguments], env={**os.environ, **password}, check=False)
    context.exit(done.returncode)


def _kept(config: Config) -> postgres.Server:
    server = postgres.keep(config.home, config.pg_bin, config.pg_user)
    click.echo("the embedded server keeps running; stop it with: hpo db stop", err=True)
    return server


def _only_embedded(config: Config) -> None:
    if config.database_url:
        raise DatabaseError(
            "HPO_DATABASE_URL names a server of your own; only the embedded one is started and stopped here"
        )


def _embedded(config: Config) -> dict[str, Any]:
    found = postgres.status(config.home)
    return {
        "server": "embedded",
        "running": found.running,
        "kept": found.kept,
        "in_use": found.in_use,
        "port": found.port,
        "pid": found.pid,
        "postgresql": found.version,
        "data": _text(found.data),
    }


def _external(url: str) -> dict[str, Any]:
    from hpo import schema

    with connect(Config(home=Path(), database_url=url)) as database:
        engine = database.engine()
        with engine.connect() as connection:
            server = connection.exec_driver_sql("SHOW server_version").scalar()
            version = schema.version(connection)
        engine.dispose()
    where = parse_url(url).render_as_string(hide_password=True)
    return {"server": where, "running": True, "postgresql": server, "schema": version or "not created yet"}


def _text(value: Path | None) -> str | None:
    return None if value is None else str(value)
