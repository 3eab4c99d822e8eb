"""What the dashboard answers by itself is what optuna-dashboard would answer."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import optuna
import optuna_dashboard
from sqlalchemy import Connection, event, text

from hpo.dashboard.answers import Answers
from hpo.dashboard.kept import Kept
from hpo.store import Store


def theirs(store: Store, study_id: int) -> dict[str, Any]:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/api/studies/{study_id}", "wsgi.input": BytesIO()}
    app = optuna_dashboard.wsgi(store.storage)
    found: dict[str, Any] = json.loads(b"".join(app(environ, lambda *_: None)))
    return found


def ours(store: Store, kept: Kept) -> dict[str, Any]:
    with store.engine.connect() as connection:
        assert kept.refresh(connection)
    found: dict[str, Any] = json.loads(kept.answer(0))
    return found


def objective(trial: optuna.Trial) -> float:
    trial.suggest_float("a", 1e-5, 1e-1, log=True)
    trial.suggest_int("b", 0, 6, step=2)
    trial.suggest_categorical("c", ["<b>", None, 3])
    trial.set_user_attr("seen", {"deep": [1]} if trial.number % 2 else "text")
    for step, value in enumerate((0.5, float("inf"), 1e-17, float("nan")), 1):
        trial.report(value, step)
    if trial.number == 1:
        raise optuna.TrialPruned
    return float("-inf") if trial.number == 2 else trial.number + 0.5


def test_an_answer_is_that_of_the_package_and_follows_the_study(store: Store) -> None:
    study = optuna.create_study(study_name="other", storage=store.storage, direction="maximize")
    kept = Kept(study._study_id)
    study.optimize(objective, n_trials=4)
    study.set_user_attr("who", "ada")
    optuna_dashboard.save_note(study, "a note" * 500)
    assert same(store, kept)
    version = kept.version
    ours(store, kept)
    assert kept.version == version
    open_trial = study.ask()
    study.enqueue_trial({"b": 4})
    ours(store, kept)
    open_trial.suggest_int("b", 0, 6, step=2)
    study.tell(open_trial, 99.0)
    answer = ours(store, kept)
    assert [trial["state"] for trial in answer["trials"][4:]] == ["Complete", "Waiting"]
    assert answer["best_trials"][0]["number"] == 4
    assert answer["trials"] == theirs(store, study._study_id)["trials"]


def same(store: Store, kept: Kept) -> bool:
    mine, other = ours(store, kept), theirs(store, kept.study_id)
    for space in ("intersection_search_space", "union_search_space"):
        for each in (*mine[space], *other[space]):
            each["distribution"].get("choices", []).sort(key=str)
    assert mine == other
    return True


def test_reading_ahead_ends_quietly_with_the_database(store: Store) -> None:
    lost = []

    def cut(connection: Connection, *_: Any) -> None:
        with store.engine.begin() as other:
            pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
            lost.append(other.scalar(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}))

    engine = store.database.engine()
    event.listen(engine, "before_cursor_execute", cut)
    Answers(lambda environ, start: [], engine).warm()
    engine.dispose()
    assert lost == [True]
