"""Whether a classifier is right as often as it says: confidence beside accuracy, bin by bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Bin:
    """The rows whose confidence lies above `low` and up to `high`, their mean confidence, and the share of them that
    is right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, from 0 to 1, and the bins that hold rows, the least confident first."""

    error: float
    bins: Sequence[Bin]


def calibration(confidence: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """From the probability [rows] of each predicted class, and whether it is the true one [rows].

    The error is the mean distance of accuracy from confidence over `bins` bins of equal width, weighted by their rows
    (Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017).
    """
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        means = float(sure[inside].mean()), float(hit[inside].mean())
        found.append(Bin(float(edges[place]), float(edges[place + 1]), int(inside.sum()), *means))
    distance = sum(each.rows * abs(each.accuracy - each.confidence) for each in found)
    return Calibration(distance / len(sure) if len(sure) else 0.0, found)
