"""Metrics of a classifier from what it said row by row, rows counting as drawn; no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.measures import class_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Said:
    """What one model said of the rows of a split: places of classes [rows] and losses [rows]."""

    classes: Sequence[str]
    truth: Array
    predicted: Array
    loss: Array

    @staticmethod
    def of(row: dict[str, Any]) -> Said:
        """From a row of `Report.predictions`."""
        return Said(row["classes"], *(np.asarray(row[name]) for name in ("truth", "predicted", "loss")))


def is_known(metric: str) -> bool:
    """Whether a metric follows from what is kept of each row; `auc` does not."""
    return metric in ("val_loss", "accuracy") or metric.partition("_")[0].partition("[")[0] in _MEASURES


def score(metric: str, said: Said, draws: Array | None = None) -> float:
    """A metric, by the name that a study file gives it, of rows that count `draws` [rows] times, by default once each.

    As in `objectives.metrics`, zero divided by zero is 0, and a macro average is over the classes that are true or
    predicted in some row. The loss is the mean over rows, in nats.
    """
    weights = np.ones(len(said.truth)) if draws is None else draws
    if metric == "val_loss":
        return float(weights @ said.loss / weights.sum())
    if metric == "accuracy":
        return float(weights @ (said.truth == said.predicted) / weights.sum())
    count = len(said.classes)
    pairs = np.bincount(said.truth * count + said.predicted, weights, count * count).reshape(count, count)
    return _averaged(metric, said.classes, pairs)


def _averaged(metric: str, classes: Sequence[str], pairs: Array) -> float:
    """Of a confusion matrix [true, predicted]."""
    right, true, predicted = pairs.diagonal(), pairs.sum(axis=1), pairs.sum(axis=0)
    kind = metric.partition("_")[0].partition("[")[0]
    each = _MEASURES[kind](right, true, predicted)
    if (name := class_of(metric)) is not None:
        return float(each[list(classes).index(name)])
    if metric.endswith("_weighted"):
        return float(_ratio(true @ each, true.sum()))
    there = (true + predicted) > 0
    return float(each[there].mean()) if there.any() else 0.0


def _ratio(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.zeros_like(np.asarray(part, dtype=float)), where=np.asarray(whole) > 0)


_MEASURES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "precision": lambda right, true, predicted: _ratio(right, predicted),
    "recall": lambda right, true, predicted: _ratio(right, true),
    "f1": lambda right, true, predicted: _ratio(2 * right, true + predicted),
}
