"""What the views of schema `hpo` say, beside what stock Optuna sees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from moves import TREE, begun, connected, evaluate, foreign, records
from sqlalchemy import text

from hpo.spec import StudySpec
from hpo.store import Store
from objectives.evaluation import Evaluation

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


def test_stock_optuna_deletes_a_study_with_all_that_is_ours(store: Store, url: str) -> None:
    grid = {"search": {"simulated.dropout": [0.1, 0.2]}, "sampler": "grid", "trials": None}
    for name in ("toy", "other"):
        store.create(StudySpec.from_dict(TREE | grid | {"study": name}))
        evaluate(begun(store, study=name), 0.5).finish("complete")
        begun(store, "two", name)
    tables = ["hpo.plans", "hpo.attempts", "hpo.metrics", "hpo.results", "hpo.points", "trials", "studies"]
    counted = "SELECT " + ", ".join(f"(SELECT count(*) FROM {name}) AS {name.rpartition('.')[2]}" for name in tables)
    both = records(url, counted)[0]
    optuna.delete_study(study_name="toy", storage=foreign(url))
    assert records(url, counted)[0] == {name: number // 2 for name, number in both.items()}
    assert min(both.values()) >= 2
    assert [row["study"] for row in records(url, "SELECT study FROM hpo.studies")] == ["other"]


@pytest.mark.parametrize("choice", [0, 1])
def test_values_are_real_ones_in_every_view(store: Store, url: str, choice: int) -> None:
    """A categorical's value, not its index; null, true and false as such; integers without a fraction."""
    params = {address: values[choice] for address, values in VALUES.items()} | RANGES
    store.create(StudySpec.from_dict(FINE_TUNED | {"enqueue": [params], "enqueue_defaults": False, "trials": 1}))
    evaluate(begun(store, study="values"), 0.5).finish("complete")
    for view in ("trials", "best_params"):
        found = records(url, f"SELECT params FROM hpo.{view}")[0]["params"]
        assert exactly(found) == exactly(params)
        assert list(found) == list(FINE_TUNED["search"])  # type: ignore[call-overload]
    long = {row["name"]: row for row in records(url, "SELECT * FROM hpo.params WHERE study = 'values' AND number = 0")}
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
    found = records(url, "SELECT state, value, best_value, best_step, best_epoch, last_step FROM hpo.trials")
    step = 2 if metric == "val_loss" else 3
    assert found == [
        {"state": "PRUNED", "value": 0.375, "best_value": best, "best_step": step, "best_epoch": step / 2}
        | {"last_step": 4}
    ]
    stock = optuna.load_study(study_name="toy", storage=foreign(url)).trials[0]
    assert (stock.state.name, stock.value) == ("PRUNED", 0.375)
    assert records(url, "SELECT * FROM hpo.best_params") == []


def test_what_becomes_of_a_running_trial(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE | {"trials": 4}))
    trials = [begun(store, name=f"w{number}") for number in range(4)]
    store.release(trials[1].claim)
    store.end_attempts_of("w2", "died", "signal 9")
    with connected(url) as connection:
        silent = {"id": trials[3].claim.trial_id}
        connection.execute(text("UPDATE hpo.attempts SET beat = beat - interval '1 hour' WHERE trial_id = :id"), silent)
    found = records(url, "SELECT activity, state FROM hpo.trials ORDER BY number")
    waiting = "waiting for a worker"
    assert [row["activity"] for row in found] == ["running", "paused", waiting, waiting]
    assert {row["state"] for row in found} == {"RUNNING"}
    evaluate(trials[0], 0.5).finish("complete")
    assert records(url, "SELECT activity FROM hpo.trials WHERE number = 0") == [{"activity": None}]


def test_a_learning_curve_has_a_row_an_evaluation(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE | {"metric": "accuracy", "trials": 1}))
    evaluate(begun(store), 0.5, 0.25)
    store.end_attempts_of("one", "died")
    heir = begun(store, name="two")
    heir.report(Evaluation(3, 1.5, {"val_loss": float("nan"), "train_loss": 0.125, "accuracy": 0.75}, {"seen": [1]}))
    found = records(url, "SELECT * FROM hpo.learning_curves ORDER BY step")
    assert [(row["step"], row["epoch"], row["attempt"]) for row in found] == [(1, 0.5, 1), (2, 1.0, 1), (3, 1.5, 2)]
    assert [row["val_loss"] for row in found] == [0.5, 0.25, None]
    assert [row["train_loss"] for row in found] == [None, None, 0.125]
    assert [row["value"] for row in found] == [0.1, 0.2, 0.75]
    assert [row["details"] for row in found] == [{}, {}, {"seen": [1]}]
    assert {row["recorded"].tzinfo is not None for row in found} == {True}


COUNTS = ("state", "trials", "made", "complete", "pruned", "failed", "running", "waiting", "remaining")


def counts(url: str) -> tuple[Any, ...]:
    return tuple(records(url, "SELECT * FROM hpo.studies")[0][name] for name in COUNTS)


def test_the_counts_and_the_state_of_a_study(store: Store, url: str) -> None:
    store.create(StudySpec.from_dict(TREE))
    assert counts(url) == ("open", 3, 0, 0, 0, 0, 0, 0, 3)
    first = begun(store)
    assert counts(url) == ("running", 3, 1, 0, 0, 0, 1, 0, 2)
    store.release(first.claim)
    assert counts(url) == ("open", 3, 1, 0, 0, 0, 1, 0, 2)
    evaluate(begun(store, name="two"), 0.5).finish("complete")
    store.enqueue("toy", [{"simulated.dropout": 0.25}])
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
    found = records(url, "SELECT state, failed, error FROM hpo.studies")
    said = "the first trials all failed with: ValueError: no; mend it and launch again"
    assert found == [{"state": "failed", "failed": 3, "error": said}]


def test_a_foreign_study_is_in_no_view_of_ours_but_params(store: Store, url: str) -> None:
    made = optuna.create_study(storage=foreign(url), study_name="stock")
    trial = made.ask()
    trial.suggest_categorical("kind", ["a"])
    made.tell(trial, 1.0)
    for view in ("studies", "trials", "best_params"):
        assert records(url, f"SELECT * FROM hpo.{view}") == []
    assert records(url, "SELECT study, text_value FROM hpo.params") == [{"study": "stock", "text_value": "a"}]
