"""Trials of a tiny model whose frozen blocks are computed once, and what they record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from objectives import settings, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation, Result, Snapshot
from objectives.host import Host

Checkpoint = Callable[[str], Path]
TRAINING = {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "seed": 1, "precision": "fp32"}


def settings_of(model: Path, rows: Path, **values: Any) -> settings.Transfer:
    """Of a trial of two epochs on these rows, the first two blocks frozen, with values by address."""
    parsed = settings.parse(
        {
            "task": "text-classification",
            "model": {"name": str(model), "dropout": 0.0, "frozen_layers": 2},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": TRAINING,
        }
    )
    replaced = settings.replace(parsed, values)
    assert isinstance(replaced, settings.Transfer)
    return replaced


def run(chosen: settings.Transfer, cache: Cache | None = None, **how: Any) -> tuple[list[Evaluation], Result]:
    evaluations: list[Evaluation] = []
    result = trial.run(chosen, evaluations.append, host=Host("cpu", 1, cache=cache), **how)
    return evaluations, result


def numbers(evaluations: list[Evaluation]) -> list[dict[str, float]]:
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes"}
    return [{name: value for name, value in each.metrics.items() if name not in clocks} for each in evaluations]


def assert_close(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def snapshot(chosen: settings.Transfer, cache: Cache | None) -> Snapshot:
    """The state after the first evaluation."""
    kept: list[Snapshot] = []

    def report(evaluation: Evaluation) -> None:
        if not kept and evaluation.snapshot:
            kept.append(evaluation.snapshot())

    trial.run(chosen, report, host=Host("cpu", 1, cache=cache))
    return kept[0]
