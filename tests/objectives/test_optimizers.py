"""Optimizer steps: gradients, weight decay, schedules, and what they leave alone."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers
from lessons import PLAIN, TRAIN, VALID, Run, collate, scores, trained
from torch import nn

from objectives import layers, optimizers, trainer
from objectives.settings import Training


def test_accumulation_is_the_mean_over_all_rows_of_a_step(bert: Path) -> None:
    ten = trainer.Lesson(TRAIN[:10], VALID, collate, PLAIN, PLAIN, scores)
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "lr_scheduler": "constant", "epochs": 1, "max_grad_norm": 0.0}
    whole = trained(bert, ten, batch_size=10, **settings)
    halves = trained(bert, ten, batch_size=4, gradient_accumulation_steps=3, **settings)
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, atol=1e-6, rtol=1e-4, msg=name)


def test_gradients_are_clipped(bert: Path) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "lr_scheduler": "constant", "weight_decay": 0.0}
    before = Run(bert).weights()

    def moved(max_grad_norm: float, precision: str = "fp32") -> float:
        limits = {"max_grad_norm": max_grad_norm, "precision": precision}
        after = trained(bert, epochs=1, batch_size=22, **limits, **settings)
        return math.sqrt(sum((after[name] - before[name]).square().sum().item() for name in before))

    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved(0.01, "fp16") == pytest.approx(0.01, rel=1e-3)
    assert moved(0.0) > 0.02


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("bound", [0.5, 50.0, 0.0])
def test_gradients_are_clipped_on_their_way_as_torch_clips_them_before(name: str, bound: float) -> None:
    found = []
    for before in (True, False):
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = optimizers.optimizer(model, Training(optimizer=name, learning_rate=0.1))
        for step in range(3):  # Adam alone would not see the size of a first gradient
            model(torch.full((2, 4), 1.0 + step)).square().sum().backward()
            if before and bound:
                nn.utils.clip_grad_norm_(model.parameters(), bound)
            limit = 0.0 if before else bound
            with optimizers.clipped(optimizer, list(model.parameters()), limit, scaled=False):
                optimizer.step()
            optimizer.zero_grad()
        found.append(model.weight.detach())
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-5)


def test_a_fused_step_does_not_read_its_gradients_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: Any) -> None:
        raise AssertionError("all gradients were multiplied")

    monkeypatch.setattr(optimizers, "clip_grad_norm_", unwanted)
    model = nn.Linear(2, 2)
    model(torch.ones(1, 2)).sum().backward()
    optimizer: Any = optimizers.optimizer(model, Training())
    with optimizers.clipped(optimizer, list(model.parameters()), 0.1, scaled=False):
        optimizer.step()
    assert optimizer.grad_scale is None, "nothing is left for a step that is not clipped"


def test_adam_takes_weight_decay_for_a_part_of_the_gradient() -> None:
    """As torch's own: two steps of gradients 1 and 0 tell it from AdamW, and from no decay at all."""
    found = {}
    for name, decay in (("adam", 0.5), ("adamw", 0.5), ("adam", 0.0)):
        ours, theirs = (nn.Linear(1, 1) for _ in range(2))
        theirs.load_state_dict(ours.state_dict())
        nn.init.ones_(ours.weight)
        nn.init.ones_(theirs.weight)
        optimizer = optimizers.optimizer(ours, Training(optimizer=name, learning_rate=0.1, weight_decay=decay))
        plain = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
            [theirs.weight], lr=0.1, weight_decay=decay
        )
        for gradient in (1.0, 0.0):
            for model, one in ((ours, optimizer), (theirs, plain)):
                for parameter in model.parameters():
                    parameter.grad = torch.full_like(parameter, gradient)
                one.step()
        assert ours.weight.item() == pytest.approx(theirs.weight.item(), abs=1e-6)
        found[name, decay] = ours.weight.item()
    assert len({round(value, 4) for value in found.values()}) == 3


@pytest.mark.parametrize("name", [name for name in optimizers.OPTIMIZERS if name != "adam"])
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


@pytest.mark.parametrize("warmup", [0, 3, 9])
@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_schedules_are_those_of_transformers(name: Literal["linear", "cosine", "constant"], warmup: int) -> None:
    training = Training(learning_rate=0.1, lr_scheduler=name, warmup_steps=warmup)
    theirs = {"constant": "constant_with_warmup"}.get(name, name)
    found, expected = (torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1) for _ in range(2))
    schedules = (
        optimizers.scheduler(found, training, 10),
        transformers.get_scheduler(theirs, expected, num_warmup_steps=warmup, num_training_steps=10),
    )
    for _ in range(11):
        assert found.param_groups[0]["lr"] == pytest.approx(expected.param_groups[0]["lr"], abs=1e-12)
        for optimizer, schedule in zip((found, expected), schedules, strict=True):
            optimizer.step()
            schedule.step()


def test_training_does_not_wait_for_what_adapters_need() -> None:
    script = (
        "import sys, objectives.transfer; print([name for name in ('peft', 'bitsandbytes') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_last_step_ends_the_schedule(bert: Path) -> None:
    run = Run(bert)
    list(run.evaluations)
    assert run.state.scheduler.get_last_lr() == [0.0, 0.0]


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_deeper_blocks_learn_less(checkpoint: Callable[[str], Path], family: str, name: str) -> None:
    model = Run(checkpoint(family)).model
    parts = layers.prefix(model)
    training = Training(optimizer=name, learning_rate=0.5, layer_decay=0.8)
    optimizer = optimizers.optimizer(model, training)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert len(rates) == len(list(model.parameters()))
    expected = dict.fromkeys(parts.stem, 0.8**5) | dict(zip(parts.blocks, (0.8**4, 0.8**3, 0.8**2), strict=True))
    body = {id(one): scale for part, scale in expected.items() for one in part.parameters()}
    assert rates == {id(one): pytest.approx(0.5 * body.get(id(one), 1.0)) for one in model.parameters()}


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_l1_draws_weights_to_zero_and_no_further(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.15)
    optimizer = optimizers.optimizer(model, Training(optimizer=name, learning_rate=0.5, weight_decay=0.0, l1=0.2))
    means = []
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        means.append({key: parameter.mean().item() for key, parameter in model.named_parameters()})
    assert [each["0.weight"] for each in means] == [pytest.approx(0.05), 0.0, 0.0]
    assert means[-1]["0.bias"] == means[-1]["1.weight"] == pytest.approx(0.15)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_blocks_are_unfrozen_from_the_top(checkpoint: Callable[[str], Path], family: str, name: str) -> None:
    run = Run(checkpoint(family), optimizer=name, epochs=5, unfreeze_every=1, weight_decay=0.1)
    parts = layers.prefix(run.model)
    groups = [*reversed(parts.blocks), nn.ModuleList(parts.stem)]
    began = [[one.detach().clone() for one in group.parameters()] for group in groups]
    changed = []
    for _ in run.evaluations:
        moved = (
            any(not torch.equal(a, b) for a, b in zip(group.parameters(), before, strict=True))
            for group, before in zip(groups, began, strict=True)
        )
        changed.append(sum(moved))
        assert all(one.requires_grad for one in run.model.parameters())
    assert changed == [0, 1, 2, 3, 4]
