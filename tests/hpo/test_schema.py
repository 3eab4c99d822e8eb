"""Schema `hpo` beside Optuna's tables: made once, upgraded, refused, and what its views say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import psycopg2
import pytest
from alembic import command
from alembic.config import Config as Alembic
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from support import environment

import hpo
from hpo import schema
from hpo.attempts import Claim, Worker
from hpo.config import Config
from hpo.database import Database, parse_url
from hpo.errors import DatabaseError
from hpo.running import RunningTrial, Study
from hpo.schema.views import VIEWS
from hpo.spec import StudySpec
from hpo.store import Store
from objectives.evaluation import Evaluation

Run = Callable[..., Any]
TREE = {
    "study": "views",
    "objective": {"simulated": {}},
    "search": {"simulated.dropout": {"low": 0.0, "high": 0.5}},
    "sampler": "random",
    "pruner": "none",
    "trials": 3,
}
# Every kind of value, by settings that have it: text, a number of each kind, true and false, null beside a number.
VALUES: dict[str, list[Any]] = {
    "training.optimizer": ["sgd", "adamw"],
    "training.learning_rate": [1e-5, 0.01],
    "training.batch_size": [32, 8],
    "model.pretrained": [True, False],
    "model.dropout": [None, 0.1],
}
RANGES: dict[str, Any] = {"training.weight_decay": 0.0625, "training.warmup_steps": 7, "training.epochs": 2}
FINE_TUNED = {
    "study": "values",
    "objective": {"task": "text-classification", "data": "rows.csv"},
    "search": {
        **VALUES,
        "training.weight_decay": {"low": 0.0, "high": 0.5},
        "training.warmup_steps": {"low": 0, "high": 10},
        "training.epochs": {"low": 1, "high": 4, "log": True},
    },
    "sampler": "random",
    "pruner": "none",
}


def database(url: str) -> Database:
    return Database(locate=lambda: parse_url(url))


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = database(url).engine()
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def rows(url: str, statement: str) -> list[dict[str, Any]]:
    with connected(url) as connection:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]


def begun(store: Store, study: str = "views", name: str = "one") -> RunningTrial:
    spec, claim = store.claim(study, Worker(name, "here", 1, 60.0))
    assert isinstance(claim, Claim)
    return Study(store, study).begin(claim, spec)


def evaluate(trial: RunningTrial, *values: float, metric: str = "val_loss") -> RunningTrial:
    for step, value in enumerate(values, trial.claim.last_step + 1):
        trial.report(Evaluation(step, step / 2, {metric: value, "accuracy": step / 10}))
    return trial


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
    assert rows(empty_url, "SELECT version_num FROM hpo.alembic_version") == [{"version_num": schema.head()}]
    assert len(rows(empty_url, "SELECT * FROM alembic_version")) == len(rows(empty_url, "SELECT * FROM version_info"))
    found = rows(empty_url, "SELECT table_name AS name FROM information_schema.views WHERE table_schema = 'hpo'")
    assert {row["name"] for row in found} == set(VIEWS)


def test_a_second_ensure_changes_nothing(store: Store, url: str) -> None:
    before = rows(url, "SELECT oid, relname FROM pg_class WHERE relnamespace = 'hpo'::regnamespace ORDER BY oid")
    schema.ensure(store.database)
    schema.upgrade(store.database)
    assert before == rows(
        url, "SELECT oid, relname FROM pg_class WHERE relnamespace = 'hpo'::regnamespace ORDER BY oid"
    )


def test_a_process_killed_halfway_leaves_something_to_complete(store: Store, url: str) -> None:
    with connected(url) as connection:
        schema.drop_views(connection)
    schema.ensure(store.database)
    assert rows(url, "SELECT * FROM hpo.studies") == []


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
    before = rows(url, "SELECT * FROM hpo.trials WHERE number = 0")
    storage = store.storage
    newest = storage.get_head_version()
    storage.engine.dispose()
    store.close()
    older_optuna(url, revision)
    assert rows(url, "SELECT version_num FROM alembic_version") == [{"version_num": revision}]

    found = run("db", "upgrade")
    assert (found.code, found.err) == (0, f"the schema is at version {schema.head()}\n")
    assert rows(url, "SELECT version_num FROM alembic_version") == [{"version_num": newest}]
    assert rows(url, "SELECT * FROM hpo.trials WHERE number = 0") == before
    store.end_attempts_of("two", "died")
    heir = begun(store, name="heir")
    assert (heir.claim.number, heir.claim.last_step) == (1, 1)
    evaluate(heir, 0.125).finish("complete")
    assert rows(url, "SELECT number, value FROM hpo.best_params") == [{"number": 1, "value": 0.125}]


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

    enqueue = ("enqueue", "-s", "views", "--set", "simulated.dropout=0.2")
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
    names = old or [row["name"] for row in rows(url, f"{found} WHERE table_schema IN ('hpo', 'public')")]
    whole = {name: rows(url, f"SELECT row_to_json(t) AS row FROM {name} t") for name in names}
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
    numbers = [begun(store, "old", f"w{index}").claim for index in range(5)]
    found = {claim.number: (claim.attempt, claim.last_step) for claim in numbers}
    assert found == {3: (2, 1), 4: (2, 1), 5: (2, 0), 6: (1, 0), 7: (1, 0)}
    evaluate(begun(store, "old-grid", "g"), 0.125).finish("complete")
    assert rows(released, "SELECT number, value FROM hpo.best_params WHERE study = 'old-grid'") == [
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
    assert rows(as_role(empty_url, role), "SELECT * FROM hpo.studies") == []


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
        assert rows(empty_url, "SELECT to_regclass('studies')::text AS found") == [{"found": "studies"}]
        assert rows(empty_url, "SELECT * FROM studies") == []
        schema.ensure(database(empty_url))
    assert rows(empty_url, "SHOW search_path") == [{"search_path": "public"}]
    assert rows(empty_url, "SELECT study_id FROM studies") == []
    made = optuna.create_study(storage=foreign(empty_url), study_name="stock")
    made.tell(made.ask(), 1.0)
    assert rows(empty_url, "SELECT study_id IS NOT NULL AS ours FROM trials") == [{"ours": True}]


def foreign(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage as any other program opens it."""
    return optuna.storages.RDBStorage(url, {"poolclass": NullPool})


def test_stock_optuna_deletes_a_study_with_all_that_is_ours(store: Store, url: str) -> None:
    grid = {"search": {"simulated.dropout": [0.1, 0.2]}, "sampler": "grid", "trials": None}
    for name in ("views", "other"):
        store.create(StudySpec.from_dict(TREE | grid | {"study": name}))
        evaluate(begun(store, name), 0.5).finish("complete")
        begun(store, name, "two")
    tables = ["hpo.plans", "hpo.attempts", "hpo.metrics", "hpo.results", "hpo.points", "trials", "studies"]
    counted = "SELECT " + ", ".join(f"(SELECT count(*) FROM {name}) AS {name.rpartition('.')[2]}" for name in tables)
    both = rows(url, counted)[0]
    optuna.delete_study(study_name="views", storage=foreign(url))
    assert rows(url, counted)[0] == {name: number // 2 for name, number in both.items()}
    assert min(both.values()) >= 2
    assert [row["study"] for row in rows(url, "SELECT study FROM hpo.studies")] == ["other"]


@pytest.mark.parametrize("choice", [0, 1])
def test_values_are_real_ones_in_every_view(store: Store, url: str, choice: int) -> None:
    """A categorical's value, not its index; null, true and false as such; integers without a fraction."""
    params = {address: values[choice] for address, values in VALUES.items()} | RANGES
    store.create(StudySpec.from_dict(FINE_TUNED | {"enqueue": [params], "enqueue_defaults": False, "trials": 1}))
    evaluate(begun(store, "values"), 0.5).finish("complete")
    for view in ("trials", "best_params"):
        found = rows(url, f"SELECT params FROM hpo.{view}")[0]["params"]
        assert exactly(found) == exactly(params)
        assert list(found) == list(FINE_TUNED["search"])  # type: ignore[call-overload]
    long = {row["name"]: row for row in rows(url, "SELECT * FROM hpo.params WHERE study = 'values' AND number = 0")}
    assert exactly({name: row["value"] for name, row in long.items()}) == exactly(params)
    assert {name: row["text_value"] for name, row in long.items()} == {
        name: value if value is None or isinstance(value, str) else json.dumps(value) for name, value in params.items()
    } | ({"training.learning_rate": "0.00001"} if choice == 0 else {})
    assert {name: row["number_value"] for name, row in long.items()} == {
        name: None if isinstance(value, str | bool | None) else value for name, value in params.items()
    }


def exactly(params: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    return {name: (type(value).__name__, value) for name, value in params.items()}


@pytest.mark.parametrize(("metric", "best"), [("val_loss", 0.25), ("accuracy", 0.75)])
def test_a_pruned_trial_shows_its_last_value_and_its_best(store: Store, url: str, metric: str, best: float) -> None:
    store.create(StudySpec.from_dict(TREE | {"metric": metric, "trials": 1}))
    trial = begun(store)
    for step, value in enumerate((0.5, 0.25, 0.75, 0.375), 1):
        trial.report(Evaluation(step, step / 2, {"val_loss": value, "accuracy": value}))
    trial.finish("pruned")
    found = rows(url, "SELECT state, value, best_value, best_step, best_epoch, last_step FROM hpo.trials")
    step = 2 if metric == "val_loss" else 3
    assert found == [
        {"state": "PRUNED", "value": 0.375, "best_value": best, "best_step": step, "best_epoch": step / 2}
        | {"last_step": 4}
    ]
    stock = optuna.load_study(study_name="views", storage=foreign(url)).trials[0]
    assert (stock.state.name, stock.value) == ("PRUNED", 0.375)
    assert rows(url, "SELECT * FROM hpo.best_params") == []


def test_what_becomes_of_a_running_trial(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE | {"trials": 4}))
    trials = [begun(store, name=f"w{number}") for number in range(4)]
    store.release(trials[1].claim)
    store.end_attempts_of("w2", "died", "signal 9")
    with connected(url) as connection:
        silent = {"id": trials[3].claim.trial_id}
        connection.execute(text("UPDATE hpo.attempts SET beat = beat - interval '1 hour' WHERE trial_id = :id"), silent)
    found = rows(url, "SELECT activity, state FROM hpo.trials ORDER BY number")
    waiting = "waiting for a worker"
    assert [row["activity"] for row in found] == ["running", "paused", waiting, waiting]
    assert {row["state"] for row in found} == {"RUNNING"}
    evaluate(trials[0], 0.5).finish("complete")
    assert rows(url, "SELECT activity FROM hpo.trials WHERE number = 0") == [{"activity": None}]


def test_a_learning_curve_has_a_row_an_evaluation(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE | {"metric": "accuracy", "trials": 1}))
    evaluate(begun(store), 0.5, 0.25)
    store.end_attempts_of("one", "died")
    heir = begun(store, name="two")
    heir.report(Evaluation(3, 1.5, {"val_loss": float("nan"), "train_loss": 0.125, "accuracy": 0.75}, {"seen": [1]}))
    found = rows(url, "SELECT * FROM hpo.learning_curves ORDER BY step")
    assert [(row["step"], row["epoch"], row["attempt"]) for row in found] == [(1, 0.5, 1), (2, 1.0, 1), (3, 1.5, 2)]
    assert [row["val_loss"] for row in found] == [0.5, 0.25, None]
    assert [row["train_loss"] for row in found] == [None, None, 0.125]
    assert [row["value"] for row in found] == [0.1, 0.2, 0.75]
    assert [row["details"] for row in found] == [{}, {}, {"seen": [1]}]
    assert {row["recorded"].tzinfo is not None for row in found} == {True}


COUNTS = ("state", "trials", "made", "complete", "pruned", "failed", "running", "waiting", "remaining")


def counts(url: str) -> tuple[Any, ...]:
    return tuple(rows(url, "SELECT * FROM hpo.studies")[0][name] for name in COUNTS)


def test_the_counts_and_the_state_of_a_study(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE))
    assert counts(url) == ("open", 3, 0, 0, 0, 0, 0, 0, 3)
    first = begun(store)
    assert counts(url) == ("running", 3, 1, 0, 0, 0, 1, 0, 2)
    store.release(first.claim)
    assert counts(url) == ("open", 3, 1, 0, 0, 0, 1, 0, 2)
    evaluate(begun(store, name="two"), 0.5).finish("complete")
    store.enqueue("views", [{"simulated.dropout": 0.25}])
    assert counts(url) == ("open", 3, 1, 1, 0, 0, 0, 1, 2)
    evaluate(begun(store), 0.5).finish("pruned")
    begun(store).finish("fail", error="no")
    last = begun(store)
    assert counts(url) == ("running", 3, 3, 1, 1, 1, 1, 0, 0)
    with connected(url) as connection:
        connection.execute(text("UPDATE hpo.attempts SET beat = beat - interval '1 hour'"))
    assert counts(url)[0] == "open"
    evaluate(last, 0.5).finish("complete")
    assert counts(url) == ("complete", 3, 3, 2, 1, 1, 0, 0, 0)
    store.create(StudySpec.from_dict(TREE | {"trials": 5}))
    assert counts(url) == ("open", 5, 3, 2, 1, 1, 0, 0, 2)


def test_a_study_that_stopped_is_failed_and_says_why(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE))
    for _ in range(3):
        begun(store).finish("fail", error="ValueError: no", place="ValueError at x:1")
    found = rows(url, "SELECT state, failed, error FROM hpo.studies")
    said = "the first trials all failed with: ValueError: no; mend it and launch again"
    assert found == [{"state": "failed", "failed": 3, "error": said}]


def test_a_foreign_study_is_in_no_view_of_ours_but_params(store: Store, url: str) -> None:
    made = optuna.create_study(storage=foreign(url), study_name="stock")
    trial = made.ask()
    trial.suggest_categorical("kind", ["a"])
    made.tell(trial, 1.0)
    for view in ("studies", "trials", "best_params"):
        assert rows(url, f"SELECT * FROM hpo.{view}") == []
    assert rows(url, "SELECT study, text_value FROM hpo.params") == [{"study": "stock", "text_value": "a"}]
