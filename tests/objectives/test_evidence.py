"""LogME against the density that it is the logarithm of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from objectives.evidence import Array, explain

DRAW = np.random.default_rng(0)


def density(features: Array, target: Array, weight: float, noise: float) -> float:
    """Of the targets, a row, where weights and noise are normal with these precisions."""
    covariance = np.eye(len(target)) / noise + features @ features.T / weight
    return float(multivariate_normal(cov=covariance).logpdf(target)) / len(target)


@pytest.mark.parametrize("shape", [(60, 5), (20, 40)])
def test_the_evidence_is_the_greatest_that_precisions_give(shape: tuple[int, int]) -> None:
    features = DRAW.normal(size=shape)
    target = features[:, :1] * 2 + DRAW.normal(size=(shape[0], 1)) * 0.5
    found = explain(features, target).log_me
    beside = np.linalg.svd(np.ones((1, shape[0])))[2][1:]  # all that is orthogonal to a constant
    grid = np.geomspace(1e-3, 1e3, 60)
    densities = (density(beside @ features, beside @ target[:, 0], weight, noise) for weight in grid for noise in grid)
    assert found == pytest.approx(max(densities), abs=0.01)


def test_features_that_say_more_have_more_evidence_and_predict() -> None:
    features = DRAW.normal(size=(200, 8))
    target = features[:, :2] @ np.array([[1.0, -1.0], [0.5, 2.0]]) + 3 + DRAW.normal(size=(200, 2)) * 0.1
    good, none = explain(features, target), explain(DRAW.normal(size=(200, 8)), target)
    assert good.log_me > none.log_me + 1
    assert np.abs(good.predict(features) - target).mean() < 0.15


def test_features_that_are_all_the_same_explain_nothing() -> None:
    found = explain(np.ones((20, 3)), np.repeat([[0.0], [1.0]], 10, axis=0))
    assert found.predict(np.ones((2, 3))) == pytest.approx(0.5)
    assert np.isfinite(found.log_me)


def test_scores_do_not_change_with_the_scale_of_the_features() -> None:
    features = DRAW.normal(size=(50, 4))
    target = features[:, :1] + DRAW.normal(size=(50, 1))
    assert explain(features * 1000, target).log_me == pytest.approx(explain(features, target).log_me, abs=0.01)
