"""How much each parameter mattered to come among the best trials: PED-ANOVA, by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from hpo.search import distributions
from hpo.space import Space
from objectives.measures import Direction

FEWEST = 8
BEST, ENOUGH = 0.1, 5  # the best tenth, but at least so many trials


def importances(
    space: Space, points: Sequence[tuple[Mapping[str, Any], float]], direction: Direction
) -> dict[str, float]:
    """A share for each address, the largest first, all of them 1 together; of `points`, pairs of parameters and value.

    What is compared are the values that the best trials have with those that all have (Watanabe, Bansal, Hutter:
    PED-ANOVA, IJCAI 2023). Points without every parameter, or outside of the space, are left out.
    """
    ranges = distributions(space)
    inside = [
        (params, value) for params, value in points if all(params.get(name, ...) in space[name] for name in space)
    ]
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # that a study was made in memory is no news
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction=direction)
        study.add_trials(
            optuna.trial.create_trial(params=dict(params), distributions=ranges, value=value)
            for params, value in inside
        )
        quantile = min(max(BEST, ENOUGH / max(len(inside), 1)), 0.5)
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile))
