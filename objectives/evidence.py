"""How well a linear model of fixed features explains targets: LogME."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_ROUNDS = 100
_TINY = 1e-9
_ENOUGH = 1e-4  # of relative change; the evidence is then settled to many more digits


@dataclass(frozen=True)
class Explained:
    """`log_me` is the log evidence in nats, the mean over rows and targets; `weights` [size + 1, targets] are the
    posterior means, the last row being what is added."""

    log_me: float
    weights: Array

    def predict(self, features: Array) -> Array:
        """The targets [rows, targets] of other features [rows, size]."""
        found: Array = features @ self.weights[:-1] + self.weights[-1]
        return found


def explain(features: Array, targets: Array) -> Explained:
    """The evidence of Bayesian linear regression of targets [rows, targets] on features [rows, size].

    The precisions of the weights and of the noise are those that make it greatest, found for each target by fixed-point
    iteration, as You, Liu, Wang and Long (LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML
    2021, https://proceedings.mlr.press/v139/you21b.html) propose; features and targets are centred before.
    """
    centre, middle = features.mean(axis=0), targets.mean(axis=0)
    left, singular, right = np.linalg.svd(features - centre, full_matrices=False)
    there = singular > _TINY * max(1.0, singular[0])  # directions of no length: that of the mean is one
    left, singular, right = left[:, there], singular[there], right[there]
    found = [_of_one(left, singular, right, target) for target in (targets - middle).T]
    weights = np.stack([one for _, one in found], axis=1)
    evidence = float(np.mean([evidence for evidence, _ in found]))
    return Explained(evidence, np.vstack((weights, middle - centre @ weights)))


def _of_one(left: Array, singular: Array, right: Array, target: Array) -> tuple[float, Array]:
    """The log evidence a row of one target [rows], and the weights [size]."""
    rows, size, squares = len(left) - 1, right.shape[1], singular**2  # a row went into the mean
    along = left.T @ target
    beyond = max(float(target @ target - along @ along), 0.0)  # what no weights explain
    weight, noise = 1.0, 1.0  # precisions: alpha and beta of the paper
    for _ in range(_ROUNDS):
        ratio = weight / noise
        length = float((squares * along**2 / (ratio + squares) ** 2).sum())
        missed = float((along**2 / (1 + squares / ratio) ** 2).sum()) + beyond
        effective = float((squares / (ratio + squares)).sum())
        weight, noise = max(effective, _TINY) / max(length, _TINY), max(rows - effective, _TINY) / max(missed, _TINY)
        if abs(weight / noise / ratio - 1) < _ENOUGH:
            break
    curvature = np.log(weight + noise * squares).sum() + (size - len(squares)) * np.log(weight)
    evidence = size * np.log(weight) + rows * np.log(noise / (2 * np.pi)) - noise * missed - weight * length - curvature
    return float(evidence / 2 / rows), right.T @ (singular * along / (weight / noise + squares))
