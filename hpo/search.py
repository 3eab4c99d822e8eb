"""Optuna samplers and pruners by name, seeded and sized by the study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hpo import methods, space
from hpo.space import Categorical, Int, Range, Space
from hpo.spec import StudySpec


class PointSampler(BaseSampler):
    """Gives a trial the point of the space at fixed shares of its ranges.

    The whole point is known before the first parameter is suggested and hangs on nothing in the database. So a worker
    that adopts a trial draws what its predecessor would have drawn, and no two trials get one point of a sequence.
    Optuna's RandomSampler goes on from the first draw when some parameters are already stored; its QMCSampler counts
    its sequence in a study attribute that workers read and write in turns, and draws the first trials at random.
    """

    def __init__(self, space_: Space, shares: np.ndarray[Any, Any]) -> None:
        self._distributions = distributions(space_)
        self._point = space.place(space_, [float(share) for share in shares])

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return dict(self._point)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._point[param_name]


FEWEST = 20
"""Complete trials from which on what is left to be gained is estimated, as Optuna does."""


def expected_gain(study: Study, spec: StudySpec) -> float | None:
    """How much better than the best trial the metric may yet become, at most; None before FEWEST trials are complete.

    The bound on the regret of Makarova et al. (2022, https://proceedings.mlr.press/v188/makarova22a.html), by Optuna's
    RegretBoundEvaluator: of a Gaussian process over the better half of the trials, how far its upper confidence bound
    is anywhere above the highest lower one. It takes seconds where hundreds are complete.
    """
    from optuna.terminator import RegretBoundEvaluator

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < FEWEST:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        evaluator = RegretBoundEvaluator(seed=spec.seed)
    return float(evaluator.evaluate(complete, study.direction))


def sampler(spec: StudySpec, number: int) -> BaseSampler:
    """A new sampler for the trial of this number; the same for the same study and number, on any worker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[spec.sampler.kind](spec, number)


def pruner(spec: StudySpec) -> BasePruner:
    """The study's pruner, its options in steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _pruner(spec.pruner, spec)


def distributions(space_: Space) -> dict[str, BaseDistribution]:
    """Optuna's distributions of a search space, as `space.suggest` asks for them."""
    return {address: _distribution(range_) for address, range_ in space_.items()}


def seed(spec: StudySpec, number: int) -> int:
    """A 32-bit seed for the sampler of one trial."""
    return int(np.random.SeedSequence([spec.seed, number]).generate_state(1)[0])


def _distribution(range_: Range) -> BaseDistribution:
    if isinstance(range_, Categorical):
        return CategoricalDistribution(range_.choices)
    kind = IntDistribution if isinstance(range_, Int) else FloatDistribution
    return kind(range_.low, range_.high, log=range_.log, step=range_.step)  # type: ignore[arg-type]


def _random(spec: StudySpec, number: int) -> BaseSampler:
    rng = np.random.default_rng(np.random.SeedSequence([spec.seed, number]))
    return PointSampler(spec.search, rng.random(len(spec.search)))


def _qmc(spec: StudySpec, number: int) -> BaseSampler:
    from scipy.stats import qmc

    options: Any = spec.sampler
    engine = {"sobol": qmc.Sobol, "halton": qmc.Halton}[options.qmc_type]
    sequence = engine(len(spec.search), scramble=options.scramble, seed=spec.seed)
    if number:
        sequence.fast_forward(number)
    return PointSampler(spec.search, sequence.random(1)[0])


def _tpe(spec: StudySpec, number: int) -> BaseSampler:
    return TPESampler(seed=seed(spec, number), **_options(spec.sampler))


def _gp(spec: StudySpec, number: int) -> BaseSampler:
    return GPSampler(seed=seed(spec, number), warn_independent_sampling=False, **_options(spec.sampler))


SAMPLERS: Mapping[str, Callable[[StudySpec, int], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "grid": _random,  # never draws: the points of a grid are the fixed parameters of their trials
    "qmc": _qmc,
    "gp": _gp,
}


def decides(spec: StudySpec, step: int) -> bool:
    """Whether the study's pruner could prune at this step, where it has been asked at each before that it decides at.

    At the others it says no and keeps nothing, so that it need not be asked.
    """
    return DECIDES[spec.pruner.kind](_in_steps(spec.pruner, spec), step)


def _pruner(method: methods.Method, spec: StudySpec) -> BasePruner:
    return PRUNERS[method.kind](_in_steps(method, spec), spec)


def _in_steps(method: methods.Method, spec: StudySpec) -> dict[str, Any]:
    options = _options(method)
    for name in method.in_epochs:
        epochs = options[name] if options[name] is not None else spec.epochs
        options[name] = round(epochs * spec.evaluations_per_epoch)
    return options


def _patient(options: dict[str, Any], spec: StudySpec) -> BasePruner:
    wrapped = options.pop("wrapped")
    inner = None if wrapped.kind == "none" else _pruner(wrapped, spec)
    return PatientPruner(inner, **options)


def _at_rung(options: Mapping[str, Any], step: int) -> bool:
    """Successive halving: at min_resource x reduction_factor^n; hyperband's brackets begin at different n."""
    rung = options["min_resource"] * options["reduction_factor"] ** options.get("min_early_stopping_rate", 0)
    while rung < step:
        rung *= options["reduction_factor"]
    return bool(rung == step)


def _in_interval(options: Mapping[str, Any], step: int) -> bool:
    """At the first step from each multiple of the interval on, counted from the warmup."""
    after = step - options["n_warmup_steps"]
    return step == 1 or (after >= 0 and after % options["interval_steps"] == 0)


class _Hyperband(HyperbandPruner):
    """Optuna's takes a trial's bracket from the study's name, and so another one where that is changed or copied; a
    trial at its second rung would then be its first's. The seed stays with the study."""

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self._seed = seed

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        named = SimpleNamespace(study_name=str(self._seed))
        return super()._get_bracket_id(named, trial)  # type: ignore[arg-type]


PRUNERS: Mapping[str, Callable[[dict[str, Any], StudySpec], BasePruner]] = {
    "asha": lambda options, _: SuccessiveHalvingPruner(**options),
    "hyperband": lambda options, spec: _Hyperband(spec.seed, **options),
    "median": lambda options, _: MedianPruner(**options),
    "percentile": lambda options, _: PercentilePruner(**options),
    "patient": _patient,
    "threshold": lambda options, _: ThresholdPruner(**options),
    "none": lambda *_: NopPruner(),
}


DECIDES: Mapping[str, Callable[[Mapping[str, Any], int], bool]] = {
    "asha": _at_rung,
    "hyperband": _at_rung,
    "median": _in_interval,
    "percentile": _in_interval,
    "patient": lambda options, step: step > options["patience"] + 1,
    "threshold": _in_interval,
    "none": lambda *_: False,
}
"""When each kind decides: its options in steps, a step."""


def _options(method: methods.Method) -> dict[str, Any]:
    return {name: getattr(method, name) for name in type(method).model_fields if name != "kind"}
