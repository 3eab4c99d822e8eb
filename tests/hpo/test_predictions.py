"""What is kept of what models said: the best evaluation of the best trials, and a view of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import moves
import pytest
from sqlalchemy import text

from hpo import predictions
from hpo.running import Study
from hpo.store import Store
from objectives.evaluation import Evaluation, Predictions


def evaluation(step: int, loss: float, split: Any = "valid") -> Evaluation:
    said = Predictions(split, ("a", "b"), [0, 1], [0, step % 2], [0.9, 0.25 * step], [loss, loss])
    return Evaluation(step, float(step), {"val_loss": loss}, predictions=said)


def run(store: Store, name: str, *losses: float, outcome: Any = "complete") -> None:
    trial = Study(store, "toy").begin(moves.claimed(store, name), store.plan("toy").spec)
    for step, loss in enumerate(losses, 1):
        trial.report(evaluation(step, loss))
    trial.finish(outcome)


Rows = Callable[[str], list[Any]]
KEPT = "SELECT t.number, p.step FROM hpo.predictions p JOIN trials t USING (trial_id) ORDER BY 1"


def test_the_best_evaluation_of_a_trial_is_kept(store: Store, rows: Rows) -> None:
    moves.create(store)
    run(store, "one", 0.5, 0.3, 0.4)
    assert rows(KEPT) == [(0, 2)]
    assert rows("SELECT row, truth, predicted, probability, loss FROM hpo.predicted ORDER BY row") == [
        (0, "a", "a", pytest.approx(0.9), pytest.approx(0.3)),
        (1, "b", "a", 0.5, pytest.approx(0.3)),
    ]


def test_those_of_the_best_trials_alone_are_kept(store: Store, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "KEPT", 2)
    moves.create(store, trials=5)
    for index, loss in enumerate((0.5, 0.3, 0.4, 0.2)):
        run(store, f"w{index}", loss)
    run(store, "pruned", 0.1, outcome="pruned")
    assert rows(KEPT) == [(1, 1), (3, 1)]


def test_they_go_with_their_study(store: Store, rows: Rows) -> None:
    moves.create(store)
    run(store, "one", 0.5)
    store.delete("toy")
    assert rows(KEPT) == []


def test_those_of_test_rows_replace_none_of_the_others(store: Store, rows: Rows) -> None:
    moves.create(store)
    trial = Study(store, "toy").begin(moves.claimed(store), store.plan("toy").spec)
    trial.report(evaluation(1, 0.2))
    trial.report(evaluation(2, 0.9, "test"))
    trial.finish("complete")
    with store.engine.begin() as connection:
        found = connection.execute(text("SELECT split, step FROM hpo.predictions ORDER BY split"))
        assert [tuple(row) for row in found] == [("test", 2), ("valid", 1)]
