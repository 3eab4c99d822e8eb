"""Multinomial logistic regression on sparse rows, by SciPy's L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Line:
    """A linear model of classes: weights [features, classes] and a bias for each class."""

    weights: Array
    bias: Array

    def predict(self, rows: Any) -> Array:
        """The place of the likeliest class of each row [rows, features]."""
        found: Array = np.asarray(rows @ self.weights + self.bias).argmax(axis=1)
        return found


def fit(rows: Any, labels: Array, classes: int, penalty: float) -> Line:
    """The line that makes the summed log loss of the rows [rows, features] and their `labels` [rows], places of
    classes, least, with `penalty` / 2 times the squared weights added; a bias costs nothing."""
    features, truth = rows.shape[1], np.eye(classes)[labels]
    across = rows.T.tocsr()

    def cost(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(features + 1, classes)
        logits = rows @ weights[:-1] + weights[-1]
        said = special.log_softmax(logits, axis=1)
        slope = np.exp(said) - truth
        gradient = np.vstack((across @ slope + penalty * weights[:-1], slope.sum(axis=0)))
        return float(penalty / 2 * (weights[:-1] ** 2).sum() - (said * truth).sum()), gradient.ravel()

    start = np.zeros((features + 1) * classes)
    found = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    line = found.reshape(features + 1, classes)
    return Line(line[:-1], line[-1])
