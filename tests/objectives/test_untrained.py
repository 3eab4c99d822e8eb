"""A training of no epoch: evaluated once, before any step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lessons import Run, comparable, same

from objectives import settings, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation
from objectives.host import Host


def test_it_is_evaluated_once_and_takes_no_step(bert: Path) -> None:
    run = Run(bert, epochs=0, evaluations_per_epoch=3)
    before = run.weights()
    (only,) = [comparable(each) for each in run.evaluations]
    assert same(run.weights(), before)
    assert (only["step"], only["epoch"]) == (1, 0.0)
    assert only.keys() >= {"val_loss", "accuracy"}
    assert "train_loss" not in only
    trained = Run(bert, epochs=1)
    torch.testing.assert_close(trained.weights(), before)
    assert run.state.progress.steps == 0


def test_one_that_was_evaluated_is_over(bert: Path) -> None:
    run = Run(bert, epochs=0)
    next(run.evaluations)
    again = Run(bert, epochs=0)
    again.state.load(run.state.save())
    assert list(again.evaluations) == []


@pytest.mark.parametrize("frozen", [0, 2])
def test_every_task_is_evaluated_and_rehearsed(
    checkpoint: Callable[[str], Path], rows: Path, tmp_path: Path, frozen: int
) -> None:
    chosen = settings.parse(
        {
            "task": "text-classification",
            "model": {"name": str(checkpoint("bert")), "frozen_layers": frozen},
            "data": {"path": str(rows), "max_length": 16, "split": {"valid": 12, "test": 12}, "score": "test"},
            "training": {"epochs": 0, "precision": "fp32", "seed": 1},
        }
    )
    seen: list[Evaluation] = []
    result = trial.run(chosen, seen.append, host=Host("cpu", 1, cache=Cache(tmp_path / "cache", trials=100)))
    assert (result.steps, len(seen)) == (1, 1)
    assert seen[0].metrics.keys() >= {"val_loss", "test_loss", "test_accuracy"}
    assert seen[0].model
    found = trial.rehearse(settings.replace(chosen, {"data.score": "valid"}), Host("cpu", 1))
    assert (found.steps, found.evaluations, found.seconds["train"]) == (0, 1, 0.0)


def test_fewer_than_none_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        settings.Training.model_validate({"epochs": -1})
