"""Samplers and pruners by name: seeded by the study, counted in epochs."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import Trial, TrialState

from hpo import methods, search, space
from hpo.spec import StudySpec

optuna.logging.set_verbosity(optuna.logging.WARNING)
OWN = ("random", "qmc")
"""Samplers whose points hang on nothing but the study's seed and the trial's number."""


def study_of(
    sampler: Any = "random", pruner: Any = "none", epochs: int = 4, per_epoch: int = 2, **rest: Any
) -> StudySpec:
    training = {"epochs": epochs, "evaluations_per_epoch": per_epoch}
    return StudySpec.from_dict(
        {
            "study": "pets",
            "objective": {"task": "text-classification", "data": "pets.csv", "training": training},
            "search": {
                "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
                "training.batch_size": [8, 16, 32],
                "model.frozen_layers": {"low": 0, "high": 6},
                "model.dropout": {"low": 0.0, "high": 0.5},
            },
            "sampler": sampler,
            "pruner": pruner,
            **rest,
        }
    )


def run(spec: StudySpec, trials: int) -> list[dict[str, Any]]:
    study = optuna.create_study()
    for number in range(trials):
        study.sampler = search.sampler(spec, number)
        trial = study.ask()
        study.tell(trial, space.suggest(spec.search, trial)["model.dropout"])
    return [trial.params for trial in study.trials]


def alone(spec: StudySpec, number: int) -> dict[str, Any]:
    """What a trial of this number draws in a study that has no other finished trial."""
    study = optuna.create_study(sampler=search.sampler(spec, number))
    for _ in range(number):
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    return space.suggest(spec.search, study.ask())


def test_every_kind_can_be_built() -> None:
    assert list(search.SAMPLERS) == list(methods.SAMPLERS)
    assert list(search.PRUNERS) == list(methods.PRUNERS)


@pytest.mark.parametrize("kind", [kind for kind in methods.SAMPLERS if kind != "gp"])
def test_a_sampler_runs_and_repeats(kind: str) -> None:
    spec = study_of() if kind == "grid" else study_of(kind)
    found = run(spec, 14)
    assert found == run(spec, 14)
    assert len({tuple(point.values()) for point in found}) == 14
    assert found != run(study_of(spec.sampler.model_dump(), seed=1), 14)


def test_gp_runs_and_repeats() -> None:
    spec = study_of({"kind": "gp", "n_startup_trials": 2, "deterministic_objective": True})
    assert run(spec, 4) == run(spec, 4)


@pytest.mark.parametrize("kind", OWN)
def test_a_point_hangs_on_no_other_trial(kind: str) -> None:
    spec = study_of(kind)
    assert run(spec, 5) == [alone(spec, number) for number in range(5)]


@pytest.mark.parametrize("kind", OWN)
def test_an_adopted_trial_goes_on_with_the_same_point(kind: str) -> None:
    spec = study_of(kind)
    study = optuna.create_study(sampler=search.sampler(spec, 0))
    first = study.ask()
    half = dict(list(spec.search.items())[:2])
    stored = space.suggest(half, first)
    study.sampler = search.sampler(spec, 0)
    found = space.suggest(spec.search, Trial(study, first.number))
    assert found == run(spec, 1)[0]
    assert stored.items() <= found.items()


def test_parameters_that_a_person_fixed_stay() -> None:
    spec = study_of("random")
    study = optuna.create_study(sampler=search.sampler(spec, 0))
    study.enqueue_trial({"model.dropout": 0.25})
    found = space.suggest(spec.search, study.ask())
    assert found == run(spec, 1)[0] | {"model.dropout": 0.25}


@pytest.mark.parametrize("kind", ["sobol", "halton"])
def test_qmc_fills_the_space_evenly(kind: str) -> None:
    points = run(study_of({"kind": "qmc", "qmc_type": kind}), 64)
    eighths = [int(point["model.dropout"] / 0.5 * 8) for point in points]
    assert {eighths.count(eighth) for eighth in range(8)} <= ({8} if kind == "sobol" else {7, 8, 9})


def test_qmc_without_scrambling_is_the_same_for_every_seed() -> None:
    options = {"kind": "qmc", "scramble": False}
    assert run(study_of(options, seed=1), 4) == run(study_of(options, seed=2), 4)
    assert run(study_of("qmc", seed=1), 4) != run(study_of("qmc", seed=2), 4)


def test_seeds_differ_by_trial_and_by_study() -> None:
    seeds = {search.seed(study_of(seed=seed), number) for seed in range(20) for number in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_options_of_tpe_reach_optuna() -> None:
    options = {"n_startup_trials": 3, "n_ei_candidates": 7, "multivariate": True, "group": True, "constant_liar": False}
    found = vars(search.sampler(study_of({"kind": "tpe", **options}), 0))
    assert {name: found[f"_{name}"] for name in options} == options


def test_only_the_warnings_of_experimental_options_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(spec: StudySpec, number: int) -> Any:
        warnings.warn("something else", UserWarning, stacklevel=1)

    monkeypatch.setitem(search.SAMPLERS, "random", warn)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="something else"):
        search.sampler(study_of("random"), 0)


def pruned_at(
    pruner: optuna.pruners.BasePruner, losses: Sequence[float], better: int = 9, worse: int = 0
) -> int | None:
    """The step at which a trial with these losses is pruned, after trials with loss 0 or 9 at each step."""
    study = optuna.create_study(pruner=pruner)
    for loss in [0.0] * better + [9.0] * worse:
        before = study.ask()
        for step in range(1, len(losses) + 1):
            before.report(loss, step)
            before.should_prune()
        study.tell(before, loss)
    trial = study.ask()
    for step, loss in enumerate(losses, start=1):
        trial.report(loss, step)
        if trial.should_prune():
            return step
    return None


@pytest.mark.parametrize(
    ("options", "per_epoch", "step"),
    [
        ("asha", 1, 1),
        ("asha", 2, 2),
        ("asha", 3, 3),
        ({"kind": "asha", "min_resource": 2}, 2, 4),
        ({"kind": "asha", "min_resource": 0.5}, 2, 1),
        ({"kind": "asha", "min_early_stopping_rate": 1}, 2, 4),
        ({"kind": "hyperband", "max_resource": 1}, 2, 2),
        ({"kind": "hyperband", "min_resource": 2, "max_resource": 3}, 2, 4),
        ({"kind": "median", "n_warmup_steps": 1}, 2, 2),
        ({"kind": "median", "n_warmup_steps": 2}, 2, 4),
        ({"kind": "median"}, 2, 1),
        ({"kind": "percentile", "percentile": 25, "n_warmup_steps": 3}, 2, 6),
        ({"kind": "threshold", "upper": 1.0, "n_warmup_steps": 2}, 2, 4),
        ({"kind": "patient", "patience": 1}, 2, 4),
        ({"kind": "patient", "patience": 1, "wrapped": {"kind": "median", "n_warmup_steps": 3}}, 2, 6),
        ("none", 2, None),
    ],
)
def test_pruners_count_in_epochs(options: Any, per_epoch: int, step: int | None) -> None:
    losses = [1.0 + 0.5 * index for index in range(8)]
    assert pruned_at(search.pruner(study_of(pruner=options, per_epoch=per_epoch)), losses) == step


def outcomes(spec: StudySpec, sparing: bool) -> list[tuple[int | None, float | None]]:
    """Where each of some trials with losses at random is pruned, and what it passed its rungs with."""
    losses, found = np.random.default_rng(1), []
    study = optuna.create_study(study_name="pets", pruner=search.pruner(spec))
    for _ in range(30):
        trial, end, curve = study.ask(), None, 5 + losses.random(16)
        for step, loss in enumerate(curve, start=1):
            trial.report(loss, step)
            if (not sparing or search.decides(spec, step)) and trial.should_prune():
                end = step
                break
        study.tell(trial, None if end else curve.min(), state=TrialState.PRUNED if end else TrialState.COMPLETE)
        found.append((end, study.trials[-1].system_attrs))
    return found


@pytest.mark.parametrize(
    "options",
    [
        "asha",
        {"kind": "asha", "min_resource": 1.5, "reduction_factor": 3, "min_early_stopping_rate": 1},
        {"kind": "hyperband", "min_resource": 0.5, "reduction_factor": 2},
        "median",
        {"kind": "median", "n_warmup_steps": 1, "interval_steps": 1.5},
        {"kind": "percentile", "percentile": 40, "n_warmup_steps": 1.5, "interval_steps": 2},
        {"kind": "threshold", "upper": 5.9, "n_warmup_steps": 1, "interval_steps": 1.5},
        {"kind": "patient", "patience": 1},
        {"kind": "patient", "patience": 1.5, "wrapped": "asha"},
        {"kind": "patient", "patience": 0.5, "wrapped": {"kind": "median", "interval_steps": 1.5}},
        "none",
    ],
    ids=str,
)
def test_asking_only_where_a_pruner_decides_changes_nothing(options: Any) -> None:
    spec = study_of(pruner=options, epochs=8, per_epoch=2)
    every = outcomes(spec, sparing=False)
    assert outcomes(spec, sparing=True) == every
    assert (options == "none") is not any(end for end, _ in every)
    asked = [step for step in range(1, 17) if search.decides(spec, step)]
    assert len(asked) < 16 or options == "median"


def test_asha_keeps_half_at_each_rung() -> None:
    found = search.pruner(study_of(pruner="asha", per_epoch=1))
    assert pruned_at(found, [1.0] * 4, better=1, worse=3) is None
    assert pruned_at(found, [1.0] * 4, better=4, worse=0) == 1


def test_an_interval_is_in_epochs() -> None:
    spec = study_of(pruner={"kind": "threshold", "upper": 1.0, "interval_steps": 2, "n_warmup_steps": 1})
    assert pruned_at(search.pruner(spec), [0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0]) == 6


def test_hyperband_ends_with_the_trial() -> None:
    found = vars(search.pruner(study_of(pruner="hyperband", epochs=4, per_epoch=2)))
    assert (found["_min_resource"], found["_max_resource"]) == (2, 8)


@pytest.mark.parametrize("pruner", ["hyperband", {"kind": "patient", "patience": 1, "wrapped": "hyperband"}])
def test_hyperbands_brackets_stay_when_a_study_is_renamed(pruner: Any) -> None:
    """Rungs that are on record are of the bracket that a trial was in. With another seed brackets are drawn anew."""

    def brackets(name: str, **rest: Any) -> list[int]:
        found: Any = search.pruner(study_of(pruner=pruner, epochs=9, per_epoch=1, **rest))
        found = getattr(found, "_wrapped_pruner", found)
        study = optuna.create_study(study_name=name, pruner=found)
        found._try_initialization(study)
        study.add_trials([optuna.trial.create_trial(value=0.0) for _ in range(60)])
        return [found._get_bracket_id(study, trial) for trial in study.get_trials(deepcopy=False)]

    first = brackets("first")
    assert set(first) == {0, 1, 2}
    assert first == brackets("second")
    assert first != brackets("first", seed=1)


def test_a_simulated_epoch_is_an_evaluation() -> None:
    spec = StudySpec.from_dict(
        {"study": "a", "objective": {"simulated": {"evaluations": 5}}, "search": {"simulated.dropout": [0.1]}}
    )
    assert (spec.epochs, spec.evaluations_per_epoch) == (5, 1)
    assert pruned_at(search.pruner(spec), [1.0, 1.0]) == 1


def test_resources_are_whole_numbers_of_steps() -> None:
    found = vars(search.pruner(study_of(pruner={"kind": "asha", "min_resource": 0.1}, per_epoch=10)))
    assert found["_min_resource"] == 1
    assert math.isclose(0.1 * 10, 1)
