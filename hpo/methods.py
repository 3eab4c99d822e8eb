"""The samplers and pruners a study may name, their options and defaults; no Optuna.

Options have Optuna's names. What Optuna counts in steps is written in epochs here, so that it keeps its meaning when
`evaluations_per_epoch` changes; such options are named in `in_epochs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from hpo.complaints import Complaint, ComplaintError, explain, nearest, shown
from objectives.settings import Setting

Epochs = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0)]
"""A number of epochs; with several evaluations an epoch, parts of one may be given."""
SomeEpochs = Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0)]


class Method(Setting):
    """A sampler or a pruner by its kind, with its options."""

    leading: ClassVar[str | None] = "kind"
    in_epochs: ClassVar[tuple[str, ...]] = ()
    kind: str


class Random(Method):
    """Independent draws."""

    kind: Literal["random"] = "random"


class Grid(Method):
    """Every combination of the values of the search space, once."""

    kind: Literal["grid"] = "grid"


class Tpe(Method):
    """Optuna's TPESampler."""

    kind: Literal["tpe"] = "tpe"
    n_startup_trials: int = Field(10, ge=0)
    n_ei_candidates: int = Field(24, ge=1)
    multivariate: bool = True
    group: bool = False
    constant_liar: bool = True

    @model_validator(mode="after")
    def _group_is_multivariate(self) -> Self:
        if self.group and not self.multivariate:
            raise ValueError("group: true needs multivariate: true")
        return self


class Gp(Method):
    """Optuna's GPSampler."""

    kind: Literal["gp"] = "gp"
    n_startup_trials: int = Field(10, ge=0)
    deterministic_objective: bool = False


class Qmc(Method):
    """The points of a low-discrepancy sequence, scrambled by the study's seed."""

    kind: Literal["qmc"] = "qmc"
    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True


class NoPruner(Method):
    """Every trial runs to its end."""

    kind: Literal["none"] = "none"


class Asha(Method):
    """Optuna's SuccessiveHalvingPruner; the first rung is after `min_resource` epochs."""

    in_epochs: ClassVar[tuple[str, ...]] = ("min_resource",)
    kind: Literal["asha"] = "asha"
    min_resource: SomeEpochs = 1
    reduction_factor: int = Field(2, ge=2)
    min_early_stopping_rate: int = Field(0, ge=0)
    bootstrap_count: int = Field(0, ge=0)


class Hyperband(Method):
    """Optuna's HyperbandPruner; `max_resource` null is the objective's epochs."""

    in_epochs: ClassVar[tuple[str, ...]] = ("min_resource", "max_resource")
    kind: Literal["hyperband"] = "hyperband"
    min_resource: SomeEpochs = 1
    max_resource: SomeEpochs | None = None
    reduction_factor: int = Field(3, ge=2)
    bootstrap_count: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _min_below_max(self) -> Self:
        if self.max_resource is not None and self.max_resource < self.min_resource:
            raise ValueError(f"min_resource {self.min_resource} is above max_resource {self.max_resource}; swap them")
        return self


class Percentile(Method):
    """Optuna's PercentilePruner."""

    in_epochs: ClassVar[tuple[str, ...]] = ("n_warmup_steps", "interval_steps")
    kind: Literal["percentile"] = "percentile"
    percentile: float = Field(75.0, ge=0, le=100)
    n_startup_trials: int = Field(5, ge=0)
    n_warmup_steps: Epochs = 0
    interval_steps: SomeEpochs = 1
    n_min_trials: int = Field(1, ge=1)


class Median(Method):
    """Optuna's MedianPruner."""

    in_epochs: ClassVar[tuple[str, ...]] = ("n_warmup_steps", "interval_steps")
    kind: Literal["median"] = "median"
    n_startup_trials: int = Field(5, ge=0)
    n_warmup_steps: Epochs = 0
    interval_steps: SomeEpochs = 1
    n_min_trials: int = Field(1, ge=1)


class Threshold(Method):
    """Optuna's ThresholdPruner."""

    in_epochs: ClassVar[tuple[str, ...]] = ("n_warmup_steps", "interval_steps")
    kind: Literal["threshold"] = "threshold"
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: Epochs = 0
    interval_steps: SomeEpochs = 1

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("threshold needs lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower:g} is above upper {self.upper:g}; swap them")
        return self


class Patient(Method):
    """Optuna's PatientPruner: `wrapped` prunes only a trial without progress for `patience` epochs."""

    in_epochs: ClassVar[tuple[str, ...]] = ("patience",)
    kind: Literal["patient"] = "patient"
    patience: Epochs
    min_delta: float = Field(0.0, ge=0)
    wrapped: Any = NoPruner()

    @field_validator("wrapped")
    @classmethod
    def _is_a_pruner(cls, value: Any) -> Any:
        return value if isinstance(value, Method) else _choose(PRUNERS, "pruner", value, "pruner.wrapped")


SAMPLERS: dict[str, type[Method]] = {"tpe": Tpe, "random": Random, "grid": Grid, "qmc": Qmc, "gp": Gp}
PRUNERS: dict[str, type[Method]] = {
    "asha": Asha,
    "hyperband": Hyperband,
    "median": Median,
    "percentile": Percentile,
    "patient": Patient,
    "threshold": Threshold,
    "none": NoPruner,
}
_REFUSED = {
    "cmaes": "cmaes unpickles what stands in the database; use tpe or gp",
    "wilcoxon": "wilcoxon needs steps in any order, and evaluations of one training are not; use asha or median",
    "bruteforce": "brute-force is called grid here; use grid",
    "successivehalving": "successive halving is called asha here; use asha",
    "nop": "nop is called none here; use none",
}


def sampler(written: Any) -> Method:
    """The sampler that a study file names; raises ComplaintError."""
    return _choose(SAMPLERS, "sampler", written, "sampler")


def pruner(written: Any) -> Method:
    """The pruner that a study file names; raises ComplaintError."""
    return _choose(PRUNERS, "pruner", written, "pruner")


def _choose(kinds: Mapping[str, type[Method]], what: str, written: Any, key: str) -> Method:
    options = {"kind": written} if isinstance(written, str) else written
    if not isinstance(options, Mapping) or not isinstance(options.get("kind"), str):
        raise ComplaintError(Complaint(key, f"{shown(written)} names no {what}; give kind: {', '.join(kinds)}"))
    kind = options["kind"]
    if kind not in kinds:
        plain = kind.lower().replace("_", "").replace("-", "").removesuffix("sampler").removesuffix("pruner")
        advice = _REFUSED.get(plain) or nearest(kind, kinds)
        raise ComplaintError(Complaint(f"{key}.kind", f"{shown(kind)} is unknown; {advice}"))
    try:
        return kinds[kind].model_validate(options)
    except ValidationError as error:
        raise ComplaintError(*explain(error, kinds[kind], key)) from error
