"""A training's state: it continues to the same bits, and knows when to stop."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lessons import Run, comparable, same
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import nn

from objectives import optimizers
from objectives.evaluation import Snapshot
from objectives.state import Progress, State

RESUMES = [
    *({"optimizer": name} for name in optimizers.OPTIMIZERS),
    {"frozen": 2},
    {"layer_decay": 0.8, "l1": 1e-3},
    {"unfreeze_every": 1, "frozen": 1},
    {"lr_scheduler": "cosine", "warmup_ratio": 0.3, "gradient_accumulation_steps": 2},
    {"precision": "bf16"},
    {"precision": "fp16"},
]


@pytest.mark.parametrize("settings", RESUMES, ids=str)
def test_continues_to_the_same_bits(bert: Path, settings: dict[str, Any]) -> None:
    settings = {"dropout": 0.3, "evaluations_per_epoch": 2, "learning_rate": 1e-3, **settings}
    whole = Run(bert, **settings)
    expected = [comparable(evaluation) for evaluation in whole.evaluations]
    assert len(expected) == 4
    for stop in (1, 2, 3):
        first = Run(bert, **settings)
        seen = [comparable(evaluation) for evaluation in islice(first.evaluations, stop)]
        kept = _kept(first.state.save())
        second = Run(bert, **settings)
        torch.rand(5)
        second.state.load(kept)
        seen += [comparable(evaluation) for evaluation in second.evaluations]
        assert seen == expected
        assert same(second.weights(), whole.weights())
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
    assert same(before, dict(kept.tensors))
    assert kept.values["progress"]["evaluations"] == 1


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
