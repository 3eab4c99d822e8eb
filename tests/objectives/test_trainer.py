"""The trainer: what a step does, when it evaluates, and what an evaluation says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from lessons import PLAIN, TRAIN, VALID, Run, collate, comparable, same, scores, trained
from torch.nn.functional import cross_entropy

from objectives import devices, parts, trainer
from objectives.batches import Batch, Example, Recalled
from objectives.errors import InfeasibleError, ObjectiveError
from objectives.plan import plan
from objectives.settings import Training


def test_what_others_draw_changes_nothing(bert: Path) -> None:
    undisturbed = [comparable(evaluation) for evaluation in Run(bert, dropout=0.3).evaluations]
    disturbed = []
    for evaluation in Run(bert, dropout=0.3).evaluations:
        disturbed.append(comparable(evaluation))
        torch.rand(7)
    assert disturbed == undisturbed


def test_dropout_differs_from_batch_to_batch_and_seed_to_seed(bert: Path) -> None:
    same = trainer.Lesson([TRAIN[0]] * 2, VALID, collate, PLAIN, PLAIN, scores)
    settings = {"dropout": 0.5, "batch_size": 1, "learning_rate": 1e-30, "evaluations_per_epoch": 2, "epochs": 1}
    one, two = (evaluation.metrics["train_loss"] for evaluation in Run(bert, same, **settings).evaluations)
    assert one != two
    assert next(Run(bert, same, **{**settings, "seed": 4}).evaluations).metrics["train_loss"] != one
    micro = Run(bert, same, **{**settings, "gradient_accumulation_steps": 2})
    assert next(micro.evaluations).metrics["train_loss"] != pytest.approx(one, abs=1e-5)


def test_the_order_follows_from_the_seed(bert: Path) -> None:
    weights = [trained(bert, seed=seed, epochs=1) for seed in (1, 1, 2)]
    assert same(weights[0], weights[1])
    assert not same(weights[0], weights[2])


@pytest.mark.parametrize(
    ("asked", "batch_size", "epochs"),
    [
        (1, 4, [1.0, 2.0]),
        (2, 4, [12 / 22, 1.0, 1 + 12 / 22, 2.0]),
        (4, 4, [8 / 22, 12 / 22, 20 / 22, 1.0, 1 + 8 / 22, 1 + 12 / 22, 1 + 20 / 22, 2.0]),
        (9, 11, [0.5, 1.0, 1.5, 2.0]),
        (3, 32, [1.0, 2.0]),
    ],
)
def test_evaluations_are_spread_over_the_epoch(bert: Path, asked: int, batch_size: int, epochs: list[float]) -> None:
    run = Run(bert, evaluations_per_epoch=asked, batch_size=batch_size)
    evaluations = list(run.evaluations)
    assert [evaluation.epoch for evaluation in evaluations] == pytest.approx(epochs)
    assert [evaluation.step for evaluation in evaluations] == list(range(1, len(epochs) + 1))


def test_every_row_is_seen_once_an_epoch(bert: Path) -> None:
    drawn = plan(Training(batch_size=4, gradient_accumulation_steps=2, seed=1), [1] * 22)
    epochs = [
        [row for step in steps for batch in drawn.batches(step) for row in batch] for steps in ((0, 1, 2), (3, 4, 5))
    ]
    assert [sorted(rows) for rows in epochs] == [list(range(22))] * 2
    assert epochs[0] != epochs[1]
    assert [len(batch) for step in (0, 1, 2) for batch in drawn.batches(step)] == [4, 4, 4, 4, 4, 2]


def test_stops_by_not_being_asked(bert: Path) -> None:
    run = Run(bert, evaluations_per_epoch=2)
    next(run.evaluations)
    assert run.state.progress.steps == 3
    run.evaluations.close()
    assert run.state.progress.steps == 3


def test_heeds_before_each_step_and_each_batch_of_an_evaluation(bert: Path) -> None:
    run, steps = Run(bert, epochs=1, evaluations_per_epoch=2, eval_batch_size=5), []
    heed = lambda: steps.append(run.state.progress.steps)  # noqa: E731
    fitted = trainer.fit(run.state, run.lesson, run.training, run.plan, run.machine, run.watch, heed)
    exams = -(-len(VALID) // 5)
    next(fitted)
    assert steps == [0, 1, 2, *[3] * exams]


def test_validation_is_the_plain_loss_of_all_rows_in_order(bert: Path) -> None:
    lesson = trainer.Lesson(TRAIN, VALID, collate, partial(PLAIN, label_smoothing=0.5), PLAIN, scores)
    run = Run(bert, lesson, epochs=1, eval_batch_size=4, dropout=0.5)
    evaluation = next(run.evaluations)
    run.model.eval()
    with torch.inference_mode():
        logits = torch.cat([run.model(**collate([row]).inputs).logits for row in VALID])
    labels = torch.tensor([row.label for row in VALID])
    assert evaluation.metrics["val_loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert evaluation.metrics["accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert evaluation.details["labels"] == labels.tolist()


@pytest.mark.parametrize(("states", "collated"), [(None, 1), (1, 1), (3, 2)])
def test_batches_of_states_are_not_kept(bert: Path, states: int | None, collated: int) -> None:
    seen = list[Example]()

    def noted(examples: Sequence[Example]) -> Batch:
        seen.extend(example for example in examples if any(example is row for row in valid))
        return collate(examples)

    valid = [
        replace(row) if states is None else Recalled(row.tokens, row.label, states=torch.ones(states, 2))
        for row in VALID
    ]
    run = Run(bert, trainer.Lesson(TRAIN, valid, noted, PLAIN, PLAIN, scores), eval_batch_size=5)
    assert [comparable(each) for each in run.evaluations] == [
        comparable(each) for each in Run(bert, eval_batch_size=5).evaluations
    ]
    assert len(seen) == collated * len(VALID)


def test_train_loss_is_the_mean_over_the_rows_since_the_last_evaluation(bert: Path) -> None:
    smooth = partial(PLAIN, label_smoothing=0.5)
    lesson = trainer.Lesson(TRAIN, VALID, collate, smooth, PLAIN, scores)
    run = Run(bert, lesson, learning_rate=1e-30, gradient_accumulation_steps=2)
    batch = collate(TRAIN)
    run.model.eval()
    with torch.inference_mode():
        expected = smooth(run.model(**batch.inputs).logits, batch.labels).mean().item()
    assert [e.metrics["train_loss"] for e in run.evaluations] == pytest.approx([expected] * 2, rel=1e-5)


def test_a_diverged_training_is_an_evaluation_like_any_other(bert: Path) -> None:
    run = Run(bert, optimizer="sgd", learning_rate=1e30, max_grad_norm=0.0, evaluations_per_epoch=2)
    evaluations = list(run.evaluations)
    assert len(evaluations) == 4
    assert math.isnan(evaluations[-1].metrics["val_loss"])
    assert "accuracy" not in evaluations[-1].metrics
    assert evaluations[-1].details == {}
    assert run.state.progress.best is None


def test_what_an_evaluation_records(bert: Path) -> None:
    run = Run(bert, epochs=1)
    evaluation = next(run.evaluations)
    assert evaluation.metrics.keys() == {
        "val_loss",
        "train_loss",
        "accuracy",
        "learning_rate",
        "seconds",
        "examples_per_second",
        "peak_memory_bytes",
    }
    assert all(type(value) is float for value in evaluation.metrics.values())
    assert evaluation.metrics["seconds"] == pytest.approx(sum(run.watch.seconds.values()))
    assert evaluation.metrics["examples_per_second"] == pytest.approx(22 / run.watch.seconds["train"])
    assert evaluation.metrics["peak_memory_bytes"] > 50e6


def test_precision_on_a_cpu(bert: Path) -> None:
    with pytest.raises(ObjectiveError, match=r"training\.precision: fp16 needs a GPU"):
        devices.machine("cpu", "fp16")
    assert Run(bert, precision="auto").machine.precision == devices.automatic(torch.device("cpu"))
    losses = {kind: next(Run(bert, precision=kind).evaluations).metrics["val_loss"] for kind in ("fp32", "bf16")}
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=0.05)


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(ObjectiveError, match=name):
        devices.machine(name, "auto")


def test_memory_that_is_not_there_is_infeasible() -> None:
    with (
        pytest.raises(InfeasibleError, match="out of memory on cpu"),
        parts.enough(torch.device("cpu")),
    ):
        torch.empty(1 << 58)
    with pytest.raises(RuntimeError, match="another"), parts.enough(torch.device("cpu")):
        raise RuntimeError("another")
