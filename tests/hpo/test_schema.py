"""Schema `hpo` beside Optuna's tables: made once, upgraded, refused, and by roles that may not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import psycopg2
import pytest
from alembic import command
from alembic.config import Config as Alembic
from moves import TREE, begun, connected, database, evaluate, foreign, records
from sqlalchemy import text
from sqlalchemy.engine import make_url
from support import environment

import hpo
from hpo import schema
from hpo.config import Config
from hpo.database import Database, parse_url
from hpo.errors import DatabaseError
from hpo.schema.views import VIEWS
from hpo.spec import StudySpec
from hpo.store import Store

Run = Callable[..., Any]


FIRST_USE = """
import sys, time
from hpo import config, schema
from hpo.database import connect
with connect(config.load()) as database:
    time.sleep(max(0, float(sys.argv[1]) - time.time()))
    schema.ensure(database)
"""


@pytest.mark.acceptance
def test_eight_processes_at_once_create_it_once(empty_url: str, tmp_path: Path) -> None:
    config = Config(tmp_path, empty_url)
    command = [sys.executable, "-c", FIRST_USE, str(time.time() + 6)]
    started = [subprocess.Popen(command, env=environment(config), stderr=subprocess.PIPE) for _ in range(8)]
    said = [process.communicate(timeout=120)[1].decode() for process in started]
    assert said == [""] * 8
    assert records(empty_url, "SELECT version_num FROM hpo.alembic_version") == [{"version_num": schema.head()}]
    assert len(records(empty_url, "SELECT * FROM alembic_version")) == len(
        records(empty_url, "SELECT * FROM version_info")
    )
    found = records(empty_url, "SELECT table_name AS name FROM information_schema.views WHERE table_schema = 'hpo'")
    assert {row["name"] for row in found} == set(VIEWS)


def test_a_second_ensure_changes_nothing(store: Store, url: str) -> None:
    before = records(url, "SELECT oid, relname FROM pg_class WHERE relnamespace = 'hpo'::regnamespace ORDER BY oid")
    schema.ensure(store.database)
    schema.upgrade(store.database)
    assert before == records(
        url, "SELECT oid, relname FROM pg_class WHERE relnamespace = 'hpo'::regnamespace ORDER BY oid"
    )


def test_a_process_killed_halfway_leaves_something_to_complete(store: Store, url: str) -> None:
    with connected(url) as connection:
        schema.drop_views(connection)
    schema.ensure(store.database)
    assert records(url, "SELECT * FROM hpo.studies") == []


def older_optuna(url: str, revision: str) -> None:
    """Take Optuna's tables back to a revision, by its own migrations where these work, and put our views on them."""
    with connected(url) as connection:
        schema.drop_views(connection)
        # A new table has this index under another name than the migration that looks for it.
        connection.execute(text("ALTER INDEX ix_trials_study_id RENAME TO trials_study_id_key"))
    folder = Path(optuna.__file__).parent / "storages" / "_rdb"
    alembic = Alembic(str(folder / "alembic.ini"))
    alembic.set_main_option("script_location", str(folder / "alembic"))
    alembic.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.downgrade(alembic, "v3.0.0.c")
    if revision < "v3.0.0.c":
        with connected(url) as connection:  # Optuna's own way back from c names a class that it no longer has
            connection.execute(text("ALTER TABLE trial_intermediate_values DROP COLUMN intermediate_value_type"))
            connection.execute(text("DROP TYPE trialintermediatevaluetype"))
            connection.execute(text("UPDATE alembic_version SET version_num = 'v3.0.0.b'"))
        command.downgrade(alembic, revision)
    with connected(url) as connection:
        schema.create_views(connection)


@pytest.mark.parametrize("revision", ["v3.0.0.c", "v3.0.0.a"])
def test_an_older_optuna_is_upgraded_under_the_views(store: Store, url: str, run: Run, revision: str) -> None:
    """Up from v3.0.0.a columns change their type, which PostgreSQL refuses while a view shows them."""
    store.create(StudySpec.from_dict(TREE))
    evaluate(begun(store), 0.5, 0.25).finish("complete")
    evaluate(begun(store, name="two"), 0.75)
    before = records(url, "SELECT * FROM hpo.trials WHERE number = 0")
    storage = store.storage
    newest = storage.get_head_version()
    storage.engine.dispose()
    store.close()
    older_optuna(url, revision)
    assert records(url, "SELECT version_num FROM alembic_version") == [{"version_num": revision}]

    found = run("db", "upgrade")
    assert (found.code, found.err) == (0, f"the schema is at version {schema.head()}\n")
    assert records(url, "SELECT version_num FROM alembic_version") == [{"version_num": newest}]
    assert records(url, "SELECT * FROM hpo.trials WHERE number = 0") == before
    store.end_attempts_of("two", "died")
    heir = begun(store, name="heir")
    assert (heir.claim.number, heir.claim.last_step) == (1, 1)
    evaluate(heir, 0.125).finish("complete")
    assert records(url, "SELECT number, value FROM hpo.best_params") == [{"number": 1, "value": 0.125}]


def test_a_newer_schema_is_refused(store: Store, url: str, run: Run) -> None:
    with connected(url) as connection:
        connection.execute(text("UPDATE hpo.alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError) as refused:
        schema.ensure(store.database)
    assert str(refused.value) == (
        f"the database's schema hpo is at version 9999, newer than {schema.head()}, which this package knows; "
        "upgrade this installation of hpo"
    )
    assert run("enqueue", "-s", "x", "--set", "a=1").err == f"Error: {refused.value}\n"


def test_a_newer_schema_cannot_be_upgraded(url: str, run: Run) -> None:
    with connected(url) as connection:
        connection.execute(text("UPDATE hpo.alembic_version SET version_num = '9999'"))
    found = run("db", "upgrade")
    assert (found.code, found.err.count("\n")) == (1, 1)
    assert "is at version 9999" in found.err


SECOND = """
from alembic import op
revision, down_revision = "9000", "{head}"
def upgrade():
    op.execute("ALTER TABLE hpo.plans ADD COLUMN note text")
"""


def test_an_older_schema_waits_for_its_upgrade(store: Store, config: Config, tmp_path: Path) -> None:
    """By a copy of the package that is one migration ahead."""
    store.create(StudySpec.from_dict(TREE))
    package = Path(hpo.__file__).parent
    for name in ("hpo", "objectives"):
        shutil.copytree(package.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "hpo/schema/versions/9000_second.py").write_text(SECOND.format(head=schema.head()))

    def newer(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hpo", *arguments]
        environ = environment(config) | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)

    enqueue = ("enqueue", "-s", "toy", "--set", "simulated.dropout=0.2")
    refused = newer(*enqueue)
    assert (refused.returncode, refused.stderr) == (
        1,
        f"Error: the database's schema hpo is at version {schema.head()}, this package needs 9000; "
        "run: hpo db upgrade\n",
    )
    assert newer("db", "upgrade").stderr == "the schema is at version 9000\n"
    assert newer(*enqueue).returncode == 0
    with pytest.raises(DatabaseError, match=r"is at version 9000.*; upgrade this installation of hpo"):
        schema.ensure(store.database)


RELEASED = Path(__file__).parent / "released"


@pytest.fixture
def released(empty_url: str) -> str:
    """The URL of a database that the previous release left, with trials in every state."""
    with closing(psycopg2.connect(empty_url.replace("+psycopg2", ""))) as connection:
        connection.cursor().execute((RELEASED / "0001.sql").read_text())
        connection.commit()
    return empty_url


def contents(url: str, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The rows of all tables and views of a study, or of those in `old` with the columns that these have there."""
    found = "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables"
    names = old or [row["name"] for row in records(url, f"{found} WHERE table_schema IN ('hpo', 'public')")]
    whole = {name: records(url, f"SELECT row_to_json(t) AS row FROM {name} t") for name in names}
    kept = {name: [row["row"] for row in found] for name, found in whole.items() if "version" not in name}
    if old is not None:
        kept = {name: [dict(list(row.items())[: len(old[name][0])]) for row in found] for name, found in kept.items()}
    return {name: sorted(found, key=repr) for name, found in kept.items() if found}


def test_the_previous_release_says_to_upgrade(released: str, run: Run) -> None:
    for reading in (("status", "-s", "old"), ("studies",), ("show", "-s", "old", "0")):
        found = run(*reading, HPO_DATABASE_URL=released)
        assert (found.code, found.out, found.err) == (
            1,
            "",
            "Error: the database's schema hpo is older than this package; run: hpo db upgrade\n",
        )
    found = run("pause", "-s", "old", HPO_DATABASE_URL=released)
    said = f"the database's schema hpo is at version 0001, this package needs {schema.head()}; run: hpo db upgrade"
    assert (found.code, found.err) == (1, f"Error: {said}\n")


def test_an_upgrade_from_the_previous_release_loses_nothing(released: str, run: Run) -> None:
    """Rows and views keep what they said; trials that ran, waited or were queued go on. It may take its time."""
    before = contents(released)
    assert len(before["public.trials"]) == 9
    assert {row["activity"] for row in before["hpo.trials"]} >= {"paused", "waiting for a worker"}
    schema.upgrade(Database(locate=lambda: parse_url(released), grace=0.01))
    after = contents(released, before)
    for seen in (before, after):  # a queued trial shows its parameters since
        for row in seen["hpo.trials"]:
            row["params"] = None if row["state"] == "WAITING" else row["params"]
    assert after == before
    assert run("studies", HPO_DATABASE_URL=released).code == 0
    store = Store(database(released))
    numbers = [begun(store, f"w{index}", "old").claim for index in range(5)]
    found = {claim.number: (claim.attempt, claim.last_step) for claim in numbers}
    assert found == {3: (2, 1), 4: (2, 1), 5: (2, 0), 6: (1, 0), 7: (1, 0)}
    evaluate(begun(store, "g", "old-grid"), 0.125).finish("complete")
    assert records(released, "SELECT number, value FROM hpo.best_params WHERE study = 'old-grid'") == [
        {"number": 2, "value": 0.125}
    ]
    store.close()


@pytest.fixture
def role(empty_url: str) -> Iterator[str]:
    """A role that may only log in."""
    name = f"poor_{os.getpid()}"
    with closing(psycopg2.connect(empty_url.replace("+psycopg2", ""))) as admin:
        admin.autocommit = True
        admin.cursor().execute(f"CREATE ROLE {name} LOGIN PASSWORD 'poor'")
        yield name
        admin.cursor().execute(f"DROP OWNED BY {name}")
        admin.cursor().execute(f"DROP ROLE {name}")


def as_role(url: str, role: str) -> str:
    return make_url(url).set(username=role, password="poor", query={}).render_as_string(hide_password=False)


NEEDS = "the role needs: GRANT CREATE ON DATABASE ... TO ...; GRANT CREATE ON SCHEMA public TO ..."


@pytest.mark.parametrize(
    ("grant", "denied"),
    [
        ("REVOKE CREATE ON SCHEMA public FROM public", "permission denied for schema public"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "permission denied for database {database}"),
    ],
)
def test_a_role_that_may_not_create_is_told_what_it_needs(
    empty_url: str, role: str, run: Run, grant: str, denied: str
) -> None:
    with connected(empty_url) as connection:
        connection.execute(text(grant.format(role=role)))
    found = run("db", "upgrade", HPO_DATABASE_URL=as_role(empty_url, role))
    said = denied.format(database=make_url(empty_url).database)
    assert (found.code, found.err) == (1, f"Error: cannot create the schema: {said}; {NEEDS}\n")


def test_a_role_that_was_granted_to_create_needs_no_more(empty_url: str, role: str) -> None:
    with connected(empty_url) as connection:
        name = make_url(empty_url).database
        connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {role}; GRANT CREATE ON SCHEMA public TO {role}"))
    schema.ensure(database(as_role(empty_url, role)))
    assert records(as_role(empty_url, role), "SELECT * FROM hpo.studies") == []


def test_a_role_that_may_not_read_is_told_so_in_one_line(url: str, role: str, run: Run) -> None:
    found = run("studies", HPO_DATABASE_URL=as_role(url, role))
    assert (found.code, found.err) == (1, "Error: the database: permission denied for schema hpo\n")


@pytest.mark.parametrize("ready", [True, False])
def test_a_role_named_as_the_schema_sees_optunas_tables_first(empty_url: str, ready: bool) -> None:
    """Without the search path of public, `studies` and `trials` would be our views for the role hpo."""
    schema.ensure(database(empty_url))
    if ready:  # a copy of a database has the schema, and not the role's settings
        with connected(empty_url) as connection:
            connection.execute(text(f"ALTER ROLE hpo IN DATABASE {make_url(empty_url).database} RESET search_path"))
        assert records(empty_url, "SELECT to_regclass('studies')::text AS found") == [{"found": "studies"}]
        assert records(empty_url, "SELECT * FROM studies") == []
        schema.ensure(database(empty_url))
    assert records(empty_url, "SHOW search_path") == [{"search_path": "public"}]
    assert records(empty_url, "SELECT study_id FROM studies") == []
    made = optuna.create_study(storage=foreign(empty_url), study_name="stock")
    made.tell(made.ask(), 1.0)
    assert records(empty_url, "SELECT study_id IS NOT NULL AS ours FROM trials") == [{"ours": True}]


def test_what_is_built_on_the_views_is_named_where_it_is_in_the_way(store: Store, run: Run) -> None:
    with store.engine.begin() as connection:
        for statement in (
            "CREATE SCHEMA lab",
            "CREATE VIEW lab.top AS SELECT study FROM hpo.studies",
            "UPDATE hpo.alembic_version SET version_num = '0004'",
        ):
            connection.execute(text(statement))
    found = run("db", "upgrade")
    assert (found.code, found.out) == (1, "")
    assert found.err == (
        "Error: cannot upgrade the schema: view lab.top depends on view hpo.studies; drop what is built on the views "
        "of hpo, run hpo db upgrade, and make it again\n"
    )
