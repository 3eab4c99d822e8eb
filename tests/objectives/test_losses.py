"""Losses: one number a row, smoothed and weighted as asked."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest
import torch

from objectives import losses, tasks
from objectives.settings import Task, Training

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 1])
PLAIN = [log(exp(2) + 2) - 2, log(2 + exp(1))]


def _loss(**settings: Any) -> list[float]:
    task = tasks.of(Task(kind="text-classification"))
    loss = losses.supervised(Training(**settings), task.loss, [0, 0, 0, 1], 3, torch.device("cpu"))
    return loss(LOGITS, LABELS).tolist()


def test_cross_entropy_of_each_row() -> None:
    assert _loss() == pytest.approx(PLAIN)


def test_label_smoothing_mixes_in_the_mean_over_the_classes() -> None:
    even = [log(exp(2) + 2) - 2 / 3, log(2 + exp(1)) - 1 / 3]
    assert _loss(label_smoothing=0.1) == pytest.approx([0.9 * a + 0.1 * b for a, b in zip(PLAIN, even, strict=True)])


def test_class_weights_multiply_each_row() -> None:
    assert _loss(class_weights="balanced") == pytest.approx([PLAIN[0] * 4 / (2 * 3), PLAIN[1] * 4 / (2 * 1)])


def test_balanced_weights_are_one_on_average() -> None:
    labels = [0] * 6 + [1] * 3 + [2] * 1
    weights = losses.balanced(labels, 4)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3, 0.0])
    assert weights[torch.tensor(labels)].mean().item() == pytest.approx(1)
