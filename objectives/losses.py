"""What is optimised: a task's loss for every row, smoothed and weighted as the settings ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from objectives.batches import UNLABELLED
from objectives.settings import Training

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [rows, classes] and labels [rows] to the loss of each row [rows], in nats."""


def supervised(
    training: Training, loss: Callable[..., Tensor], labels: Sequence[Any], classes: int, device: torch.device
) -> Loss:
    """A task's `loss` with the settings' label smoothing and class weights, the weights taken from training labels.

    A label may be those of a row's tokens, UNLABELLED where one has none.
    """
    weighed = training.class_weights == "balanced"
    weight = balanced(list(_each(labels)), classes).to(device) if weighed else None
    return partial(loss, label_smoothing=training.label_smoothing, weight=weight)


def _each(labels: Iterable[Any]) -> Iterable[int]:
    for label in labels:
        yield from (one for one in (label if isinstance(label, Sequence) else [label]) if one != UNLABELLED)


def balanced(labels: Sequence[int], classes: int) -> Tensor:
    """A weight for each class [classes], n / (k * count): every class weighs the same, a row 1 on average.

    A class without rows weighs nothing. The formula is that of King and Zeng, Logistic Regression in Rare Events Data
    (2001), as scikit-learn's `class_weight="balanced"`.
    """
    counts = Counter(labels)
    share = len(labels) / len(counts)
    return torch.tensor([share / counts[index] if counts[index] else 0.0 for index in range(classes)])
