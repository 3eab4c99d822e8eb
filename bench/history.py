"""Studies that are some trials old: finished ones, written in bulk, as a worker would have left them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from hpo import search, space
from hpo.spec import StudySpec
from objectives import simulated
from objectives.evaluation import Evaluation
from objectives.settings import Curve

EVALUATIONS = 10
KEPT = "metrics:{step}"
"""The user attribute in which plain Optuna keeps the metrics of an evaluation."""

# Each of the study's first trials so many times more: what Optuna and its tables would hold.
COPIES = """
CREATE TEMP TABLE copied ON COMMIT DROP AS
SELECT t.trial_id AS old, nextval('trials_trial_id_seq') AS new, t.number + k * %(block)s AS number
FROM trials t, generate_series(1, %(times)s) k WHERE t.number < %(block)s;
INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete)
SELECT new, c.number, study_id, state, datetime_start, datetime_complete FROM copied c JOIN trials ON trial_id = old;
INSERT INTO trial_values (trial_id, objective, value, value_type)
SELECT new, objective, value, value_type FROM copied JOIN trial_values ON trial_id = old;
INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
SELECT new, param_name, param_value, distribution_json FROM copied JOIN trial_params ON trial_id = old;
INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
SELECT new, step, intermediate_value, intermediate_value_type
FROM copied JOIN trial_intermediate_values ON trial_id = old;
INSERT INTO trial_system_attributes (trial_id, key, value_json)
SELECT new, key, value_json FROM copied JOIN trial_system_attributes ON trial_id = old;
"""

# What claims and reports would have left in our own tables, beside the trials that are Optuna's alone.
OURS = """
INSERT INTO hpo.attempts (trial_id, attempt, study_id, worker, host, pid, grace, ended, outcome, current)
SELECT trial_id, 1, study_id, 'history', 'history', 1, '60 s', clock_timestamp(), 'complete', false
FROM trials t WHERE state = 'COMPLETE' AND NOT EXISTS (SELECT FROM hpo.attempts a WHERE a.trial_id = t.trial_id);
INSERT INTO hpo.metrics (trial_id, step, attempt, epoch, metrics, prune, rungs)
SELECT trial_id, step, 1, step, json_build_object('val_loss', intermediate_value, 'train_loss', intermediate_value),
       false, 4
FROM trial_intermediate_values v
WHERE NOT EXISTS (SELECT FROM hpo.metrics m WHERE m.trial_id = v.trial_id AND m.step = v.step);
UPDATE hpo.plans SET made = (SELECT count(*) FROM trials t WHERE t.study_id = plans.study_id);
"""


def spec(name: str = "bench", **objective: Any) -> StudySpec:
    """A simulated study of five parameters, two of them categorical, pruned by successive halving."""
    return StudySpec.from_dict(
        {
            "study": name,
            "objective": {"simulated": {"evaluations": EVALUATIONS, **objective}},
            "search": {
                "simulated.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
                "simulated.dropout": {"low": 0.0, "high": 0.5},
                "simulated.frozen_layers": {"low": 0, "high": 6},
                "simulated.batch_size": {"choices": [8, 16, 32]},
                "simulated.optimizer": {"choices": ["adamw", "adam", "sgd"]},
            },
            "sampler": {"kind": "tpe"},
            "pruner": {"kind": "asha"},
            "metric": "val_loss",
            "trials": 100_000,
            "enqueue_defaults": False,
        }
    )


def evaluations(params: Mapping[str, Any]) -> Iterator[Evaluation]:
    """A trial's evaluations with as many metrics as a classifier's, from the simulated objective's closed form."""
    curve = Curve(**{address.removeprefix("simulated."): value for address, value in params.items()})
    for step in range(1, EVALUATIONS + 1):
        loss = simulated.loss(curve, step)
        metrics = {
            "val_loss": loss,
            "train_loss": 0.9 * loss,
            "accuracy": math.exp(-loss),
            "f1_macro": math.exp(-1.1 * loss),
            "learning_rate": curve.learning_rate,
            "seconds": 1.0,
            "examples_per_second": 1000.0,
        }
        yield Evaluation(step, float(step), metrics)


def fill(study: optuna.Study, spec: StudySpec, upto: int, attributes: bool) -> None:
    """Add complete trials at random points until the study holds `upto`; `attributes` keeps metrics with them."""
    distributions = search.distributions(spec.search)
    for number in range(len(study.get_trials(deepcopy=False)), upto):
        shares = np.random.default_rng(number).random(len(spec.search))
        params = space.place(spec.search, [float(share) for share in shares])
        study.add_trial(_finished(params, distributions, attributes))


def _finished(params: Mapping[str, Any], distributions: Mapping[str, Any], attributes: bool) -> FrozenTrial:
    found = list(evaluations(params))
    values = {each.step: each.metrics["val_loss"] for each in found}
    rungs = {f"completed_rung_{rung}": values[step] for rung, step in enumerate((1, 2, 4, 8))}
    kept = {KEPT.format(step=each.step): dict(each.metrics) for each in found} if attributes else {}
    return optuna.create_trial(
        params=dict(params),
        distributions=dict(distributions),
        value=min(values.values()),
        intermediate_values=values,
        system_attrs=rungs,
        user_attrs=kept,
    )
