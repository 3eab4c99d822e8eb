"""A worker's moves made by hand, one at a time, on a small study, and what the tables hold after them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from hpo.attempts import Claim, Worker
from hpo.claims import Nothing
from hpo.database import Database, parse_url
from hpo.running import RunningTrial, Study
from hpo.spec import StudySpec
from hpo.store import Store
from objectives.evaluation import Evaluation

TREE = {
    "study": "toy",
    "objective": {"simulated": {}},
    "search": {
        "simulated.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "simulated.batch_size": [8, 16, 32],
        "simulated.dropout": {"low": 0.0, "high": 0.5},
    },
    "sampler": "random",
    "pruner": "none",
    "trials": 3,
}


def spec(**changes: Any) -> StudySpec:
    return StudySpec.from_dict(TREE | changes)


def create(store: Store, **changes: Any) -> None:
    store.create(spec(**changes))


def worker(name: str = "one") -> Worker:
    return Worker(name, "here", 1, 60.0, {"device": "gpu 7"})


def claim(store: Store, name: str = "one", study: str = "toy") -> Claim | Nothing:
    return store.claim(study, worker(name))[1]


def claimed(store: Store, name: str = "one", study: str = "toy") -> Claim:
    found = claim(store, name, study)
    assert isinstance(found, Claim)
    return found


def begun(store: Store, name: str = "one", study: str = "toy") -> RunningTrial:
    return Study(store, study).begin(claimed(store, name, study), store.plan(study).spec)


def evaluate(trial: RunningTrial, *losses: float, after: int | None = None) -> RunningTrial:
    """Report losses, 0.5 by default, each as the next step: after what was on record when the trial was claimed."""
    done = trial.claim.last_step if after is None else after
    for step, loss in enumerate(losses or (0.5,), done + 1):
        trial.report(Evaluation(step, step / 2, {"val_loss": loss, "accuracy": step / 10}))
    return trial


def silence(store: Store) -> None:
    """Let all beats be older than any grace, though not older than the server."""
    long_ago = "beat = pg_postmaster_start_time(), grace = (clock_timestamp() - pg_postmaster_start_time()) / 2"
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE hpo.attempts SET {long_ago}"))


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def count(store: Store, what: str) -> int:
    return int(rows(store, f"SELECT count(*) FROM {what}")[0][0])


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


def records(url: str, statement: str) -> list[dict[str, Any]]:
    """The rows of a database that has no store, as mappings."""
    with connected(url) as connection:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]


def foreign(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage as any other program opens it."""
    return optuna.storages.RDBStorage(url, {"poolclass": NullPool})
