"""The trainer: what a step does, when it evaluates, and that it continues to the same bits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from objectives import devices, layers, models, optimizers, parts, sources, trainer
from objectives.batches import Batch, Example, Recalled, pad
from objectives.errors import InfeasibleError, ObjectiveError
from objectives.evaluation import Evaluation, Snapshot
from objectives.plan import plan
from objectives.settings import Model, Training
from objectives.state import Progress, State
from objectives.stopwatch import Stopwatch

Checkpoint = Callable[[str], Path]

TRAIN = [Example([2, *([4 + row % 14] * (1 + row % 5)), 3], row % 3) for row in range(22)]
VALID = [Example([2, *([4 + row % 14] * (1 + (row * 7) % 5)), 3], row % 3) for row in range(13)]


def _collate(examples: Sequence[Example]) -> Batch:
    tokens = [example.tokens for example in examples]
    inputs = {"input_ids": pad(tokens, 0), "attention_mask": pad([[1] * len(row) for row in tokens], 0)}
    return Batch(inputs, torch.tensor([example.label for example in examples]))


def _scores(logits: Tensor, labels: Tensor) -> tuple[dict[str, float], dict[str, Any]]:
    return {"accuracy": (logits.argmax(1) == labels).float().mean().item()}, {"labels": labels.tolist()}


PLAIN = partial(cross_entropy, reduction="none")
LESSON = trainer.Lesson(TRAIN, VALID, _collate, PLAIN, PLAIN, _scores)


class Run:
    """A training of a tiny model, ready to start."""

    def __init__(self, folder: Path, lesson: trainer.Lesson = LESSON, **settings: Any) -> None:
        chosen = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "seed": 3, **settings}
        self.model = self._model(folder, frozen=chosen.pop("frozen", 0), dropout=chosen.pop("dropout", 0.0))
        self.training, self.lesson = Training(**chosen), lesson
        # fp16 is refused on a CPU, where it is slow; made by hand it works, scaler included.
        fp16 = self.training.precision == "fp16"
        chosen_machine = None if fp16 else devices.machine("cpu", self.training.precision)
        self.machine = chosen_machine or devices.Machine(torch.device("cpu"), "fp16")
        self.plan = plan(self.training, len(lesson.train))
        self.state = trainer.start(self.model, self.training, self.plan, self.machine)
        self.watch = Stopwatch()
        self.evaluations = trainer.fit(self.state, lesson, self.training, self.plan, self.machine, self.watch)

    @staticmethod
    def _model(folder: Path, frozen: int, dropout: float) -> Any:
        settings = Model(name=str(folder), dropout=dropout)
        model = models.load(settings, sources.find(settings), "sequence-classification", ("a", "b", "c"), 0)
        layers.freeze(model, frozen)
        return model

    def weights(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}


def _comparable(evaluation: Evaluation) -> dict[str, Any]:
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes"}
    metrics = {name: value for name, value in evaluation.metrics.items() if name not in clocks}
    return {"step": evaluation.step, "epoch": evaluation.epoch, **metrics, **evaluation.details}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def bert(checkpoint: Checkpoint) -> Path:
    return checkpoint("bert")


RESUMES = [
    *({"optimizer": name} for name in optimizers.OPTIMIZERS),
    {"frozen": 2},
    {"lr_scheduler": "cosine", "warmup_ratio": 0.3, "gradient_accumulation_steps": 2},
    {"precision": "bf16"},
    {"precision": "fp16"},
]


@pytest.mark.parametrize("settings", RESUMES, ids=str)
def test_continues_to_the_same_bits(bert: Path, settings: dict[str, Any]) -> None:
    settings = {"dropout": 0.3, "evaluations_per_epoch": 2, "learning_rate": 1e-3, **settings}
    whole = Run(bert, **settings)
    expected = [_comparable(evaluation) for evaluation in whole.evaluations]
    assert len(expected) == 4
    for stop in (1, 2, 3):
        first = Run(bert, **settings)
        seen = [_comparable(evaluation) for evaluation in islice(first.evaluations, stop)]
        kept = _kept(first.state.save())
        second = Run(bert, **settings)
        torch.rand(5)
        second.state.load(kept)
        seen += [_comparable(evaluation) for evaluation in second.evaluations]
        assert seen == expected
        assert _same(second.weights(), whole.weights())
        assert second.state.progress == whole.state.progress


def _kept(snapshot: Snapshot) -> Snapshot:
    """The snapshot as a file would give it back."""
    tensors = read_tensors(write_tensors(dict(snapshot.tensors)))
    return Snapshot(tensors, json.loads(json.dumps(snapshot.values, allow_nan=False)))


def test_fp16_scales_its_losses_on_as_before(bert: Path) -> None:
    run, other = Run(bert, precision="fp16"), Run(bert, precision="fp16")
    next(run.evaluations)
    run.state.scaler.update(1024.0)
    other.state.load(run.state.save())
    assert other.state.scaler.get_scale() == 1024.0


def test_a_snapshot_holds_only_what_learns(bert: Path) -> None:
    run = Run(bert, frozen=3)
    next(run.evaluations)
    kept = {name for name in run.state.save().tensors if name.startswith("model.")}
    assert kept == {
        f"model.{part}.{kind}" for part in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")
    }


def test_a_snapshot_holds_running_statistics() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    state = State(model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False), Progress())
    before = state.save()
    model(torch.ones(4, 2))
    assert not torch.equal(model[1].running_mean, before.tensors["model.1.running_mean"])
    state.load(before)
    assert torch.equal(model[1].running_mean, before.tensors["model.1.running_mean"])


def test_a_snapshot_does_not_change_with_the_training(bert: Path) -> None:
    run = Run(bert)
    next(run.evaluations)
    kept = run.state.save()
    before = {name: tensor.clone() for name, tensor in kept.tensors.items()}
    next(run.evaluations)
    assert _same(before, dict(kept.tensors))
    assert kept.values["progress"]["evaluations"] == 1


def test_what_others_draw_changes_nothing(bert: Path) -> None:
    undisturbed = [_comparable(evaluation) for evaluation in Run(bert, dropout=0.3).evaluations]
    disturbed = []
    for evaluation in Run(bert, dropout=0.3).evaluations:
        disturbed.append(_comparable(evaluation))
        torch.rand(7)
    assert disturbed == undisturbed


def test_dropout_differs_from_batch_to_batch_and_seed_to_seed(bert: Path) -> None:
    same = trainer.Lesson([TRAIN[0]] * 2, VALID, _collate, PLAIN, PLAIN, _scores)
    settings = {"dropout": 0.5, "batch_size": 1, "learning_rate": 1e-30, "evaluations_per_epoch": 2, "epochs": 1}
    one, two = (evaluation.metrics["train_loss"] for evaluation in Run(bert, same, **settings).evaluations)
    assert one != two
    assert next(Run(bert, same, **{**settings, "seed": 4}).evaluations).metrics["train_loss"] != one
    micro = Run(bert, same, **{**settings, "gradient_accumulation_steps": 2})
    assert next(micro.evaluations).metrics["train_loss"] != pytest.approx(one, abs=1e-5)


def test_the_order_follows_from_the_seed(bert: Path) -> None:
    weights = [_trained(bert, seed=seed, epochs=1) for seed in (1, 1, 2)]
    assert _same(weights[0], weights[1])
    assert not _same(weights[0], weights[2])


def _trained(folder: Path, lesson: trainer.Lesson = LESSON, **settings: Any) -> dict[str, Tensor]:
    run = Run(folder, lesson, **settings)
    list(run.evaluations)
    return run.weights()


def test_accumulation_is_the_mean_over_all_rows_of_a_step(bert: Path) -> None:
    ten = trainer.Lesson(TRAIN[:10], VALID, _collate, PLAIN, PLAIN, _scores)
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "lr_scheduler": "constant", "epochs": 1, "max_grad_norm": 0.0}
    whole = _trained(bert, ten, batch_size=10, **settings)
    halves = _trained(bert, ten, batch_size=4, gradient_accumulation_steps=3, **settings)
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, atol=1e-6, rtol=1e-4, msg=name)


def test_gradients_are_clipped(bert: Path) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "lr_scheduler": "constant", "weight_decay": 0.0}
    before = Run(bert).weights()

    def moved(max_grad_norm: float, precision: str = "fp32") -> float:
        limits = {"max_grad_norm": max_grad_norm, "precision": precision}
        after = _trained(bert, epochs=1, batch_size=22, **limits, **settings)
        return math.sqrt(sum((after[name] - before[name]).square().sum().item() for name in before))

    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved(0.01, "fp16") == pytest.approx(0.01, rel=1e-3)
    assert moved(0.0) > 0.02


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_weight_decay_is_decoupled_and_spares_biases_and_norms(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    training = Training(optimizer=name, learning_rate=0.5, weight_decay=0.1)
    optimizer = optimizers.optimizer(model, training)
    for _ in range(2):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    means = {key: parameter.mean().item() for key, parameter in model.named_parameters()}
    assert means == {"0.weight": pytest.approx(0.95**2), "0.bias": 1.0, "1.weight": 1.0, "1.bias": 1.0}


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_learns(bert: Path, name: str) -> None:
    learning_rate = 0.05 if name == "sgd" else 1e-2
    run = Run(bert, optimizer=name, learning_rate=learning_rate, epochs=6, batch_size=8)
    losses = [evaluation.metrics["train_loss"] for evaluation in run.evaluations]
    assert losses[-1] < losses[0] - 0.05


def test_frozen_parameters_are_not_the_optimizers(bert: Path) -> None:
    run = Run(bert, frozen=3, weight_decay=0.5, optimizer="sgd", learning_rate=0.1)
    before = run.weights()
    list(run.evaluations)
    after = run.weights()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{p}.{k}" for p in ("bert.pooler.dense", "classifier") for k in ("weight", "bias")}


SCHEDULES = [
    ({"lr_scheduler": "constant"}, [1.0, 1.0, 1.0, 1.0]),
    ({"lr_scheduler": "linear"}, [1.0, 0.75, 0.5, 0.25]),
    ({"lr_scheduler": "linear", "warmup_ratio": 0.5}, [0.0, 0.5, 1.0, 0.5]),
    ({"lr_scheduler": "linear", "warmup_ratio": 0.4}, [0.0, 0.5, 1.0, 0.5]),
    ({"lr_scheduler": "constant", "warmup_steps": 2}, [0.0, 0.5, 1.0, 1.0]),
    ({"lr_scheduler": "cosine"}, [1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 - math.cos(math.pi / 4)) / 2]),
]


@pytest.mark.parametrize(("settings", "expected"), SCHEDULES, ids=str)
def test_schedules_over_the_optimizer_steps(bert: Path, settings: dict[str, Any], expected: list[float]) -> None:
    sizes = {"epochs": 2, "batch_size": 6, "gradient_accumulation_steps": 2, "evaluations_per_epoch": 2}
    run = Run(bert, **sizes, **settings)
    assert [evaluation.metrics["learning_rate"] / 1e-2 for evaluation in run.evaluations] == pytest.approx(expected)


def test_the_last_step_ends_the_schedule(bert: Path) -> None:
    run = Run(bert)
    list(run.evaluations)
    assert run.state.scheduler.get_last_lr() == [0.0, 0.0]


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
    drawn = plan(Training(batch_size=4, gradient_accumulation_steps=2, seed=1), 22)
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


def test_stops_early(bert: Path) -> None:
    settings = {"epochs": 9, "learning_rate": 1e-30, "early_stopping_patience": 2}
    run = Run(bert, **settings)
    assert len(list(run.evaluations)) == 3
    again = Run(bert, **settings)
    again.state.load(run.state.save())
    assert list(again.evaluations) == []


def test_patience_starts_anew_with_each_better_loss() -> None:
    progress = Progress()
    waited = []
    for loss in (1.0, 2.0, 0.5, math.nan, 0.5, 0.4):
        progress.note(loss)
        waited.append(progress.waited())
    assert waited == [0, 1, 0, 1, 2, 0]
    assert (progress.best, progress.best_evaluation) == (0.4, 6)


def test_validation_is_the_plain_loss_of_all_rows_in_order(bert: Path) -> None:
    lesson = trainer.Lesson(TRAIN, VALID, _collate, partial(PLAIN, label_smoothing=0.5), PLAIN, _scores)
    run = Run(bert, lesson, epochs=1, eval_batch_size=4, dropout=0.5)
    evaluation = next(run.evaluations)
    run.model.eval()
    with torch.inference_mode():
        logits = torch.cat([run.model(**_collate([row]).inputs).logits for row in VALID])
    labels = torch.tensor([row.label for row in VALID])
    assert evaluation.metrics["val_loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert evaluation.metrics["accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert evaluation.details["labels"] == labels.tolist()


@pytest.mark.parametrize(("states", "collated"), [(None, 1), (1, 1), (3, 2)])
def test_batches_of_states_are_not_kept(bert: Path, states: int | None, collated: int) -> None:
    seen = list[Example]()

    def collate(examples: Sequence[Example]) -> Batch:
        seen.extend(example for example in examples if any(example is row for row in valid))
        return _collate(examples)

    valid = [
        replace(row) if states is None else Recalled(row.tokens, row.label, torch.ones(states, 2)) for row in VALID
    ]
    run = Run(bert, trainer.Lesson(TRAIN, valid, collate, PLAIN, PLAIN, _scores), eval_batch_size=5)
    assert [_comparable(each) for each in run.evaluations] == [
        _comparable(each) for each in Run(bert, eval_batch_size=5).evaluations
    ]
    assert len(seen) == collated * len(VALID)


def test_train_loss_is_the_mean_over_the_rows_since_the_last_evaluation(bert: Path) -> None:
    smooth = partial(PLAIN, label_smoothing=0.5)
    lesson = trainer.Lesson(TRAIN, VALID, _collate, smooth, PLAIN, _scores)
    run = Run(bert, lesson, learning_rate=1e-30, gradient_accumulation_steps=2)
    batch = _collate(TRAIN)
    run.model.eval()
    with torch.inference_mode():
        expected = smooth(run.model(**batch.inputs).logits, batch.labels).mean().item()
    assert [e.metrics["train_loss"] for e in run.evaluations] == pytest.approx([expected] * 2, rel=1e-5)


def test_a_diverged_training_is_an_evaluation_like_any_other(bert: Path) -> None:
    run = Run(bert, optimizer="sgd", learning_rate=1e30, max_grad_norm=0.0, evaluations_per_epoch=2)
    evaluations = list(run.evaluations)
    assert len(evaluations) == 4
    assert math.isnan(evaluations[-1].metrics["val_loss"])
    assert math.isnan(evaluations[-1].metrics["accuracy"])
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
    assert Run(bert, precision="auto").machine.precision == "fp32"
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
