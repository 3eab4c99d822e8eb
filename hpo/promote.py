"""The end of a study: which configurations are trained anew, with which seeds, in a companion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo import fitting
from hpo.config import Config
from hpo.errors import StudyError
from hpo.promotion import SEED, STOP, SUFFIX, Candidate, Fit, Promotion
from hpo.report import Report, Row
from hpo.spec import StudySpec
from hpo.store import Plan, Store
from objectives import settings
from objectives.settings import Transfer

TOP, SEEDS = 3, 5
_STREAM = 0x70726F6D  # "prom": seeds of another stream than those of the study's own trials
_HIGHEST = 10**6  # of a fresh seed, for people to read


@dataclass(frozen=True)
class Wish:
    """What is asked of a promotion; None is what an earlier one had, else the default."""

    top: int | None = None
    seeds: int | None = None
    fit: Fit | None = None


def earlier(store: Store, study: str) -> Plan | None:
    """The study that carries the name of this one's companion; it may be of an earlier study of that name."""
    try:
        return store.plan(f"{study}{SUFFIX}")
    except StudyError:
        return None


def plan(store: Store, rows: Report, study: str, wish: Wish, before: Plan | None) -> Promotion:
    """What is to be retrained, as it is asked for; `before` is the companion that there is.

    Raises StudyError where the study has nothing to promote, or no rows that all of its trials set aside.
    """
    own = store.plan(study).spec
    promotable(own)
    found = wish if before is None or before.spec.promotes is None else _as_before(wish, before.spec.promotes)
    trials = rows.trials(study)
    made = tuple(candidates(own, trials, found.top or TOP))
    if found.fit == "all":
        _check_fitted(own, made)
    seeds = tuple(fresh(own.seed, _used(own, trials), found.seeds or SEEDS))
    return Promotion(study, found.top or TOP, found.fit or "train", seeds, made)


def _check_fitted(own: StudySpec, chosen: Sequence[Candidate]) -> None:
    """Raises StudyError where one of them is not trained at all: on more rows there is nothing to say of it."""
    for one in chosen:
        if settings.get(settings.replace(own.objective, one.params), "training.epochs") == 0:
            which = "the defaults have" if one.number is None else f"trial {one.number} has"
            raise StudyError(
                f"{own.study}: --fit all is to train on more rows, and {which} 0 epochs; right is --fit train"
            )


def create(store: Store, config: Config, promotion: Promotion, before: Plan | None) -> StudySpec:
    """The companion in the database, made or continued; raises SpecError, or StudyError where it is another one."""
    if before is not None:
        _check_inputs(store.plan(promotion.study), config, promotion)
        _check_same(before.spec.promotes, promotion)
        return before.spec
    return store.create(*checked(store, config, promotion)).spec


def checked(store: Store, config: Config, promotion: Promotion) -> tuple[StudySpec, str | None, Mapping[str, str]]:
    """A new companion, its rows' fingerprint and its models, nothing made yet.

    Raises SpecError where its rows or settings do not fit, or StudyError where the rows are others than the study's.
    """
    own = store.plan(promotion.study)
    wanted, fingerprint = _check_inputs(own, config, promotion)
    if own.fingerprint != fingerprint:
        raise StudyError(f"{promotion.study}: the rows are not those that it was made with; put the same files back")
    return wanted, fingerprint, own.models


def _check_inputs(own: Plan, config: Config, promotion: Promotion) -> tuple[StudySpec, str | None]:
    """What is to run as the companion, with its rows' fingerprint; raises SpecError."""
    wanted, source = _companion(own.spec, promotion), f"study {promotion.study}"
    return wanted, fitting.check_inputs(wanted, config.data_root, source, tested=own.spec.metric)


def candidates(own: StudySpec, trials: Sequence[Row], top: int) -> Iterator[Candidate]:
    """The best `top` configurations among the complete trials, each with its best trial, and the defaults.

    Where `data.shots` is searched they are the best `top` of each number of rows, which is what such a study compares.
    Raises StudyError where no trial is complete.
    """
    sign = 1 if own.direction == "minimize" else -1
    complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
    if not complete:
        raise StudyError(f"{own.study}: no trial is complete yet, there is nothing to promote; hpo launch goes on")
    complete.sort(key=lambda trial: (sign * trial["value"], trial["number"]))
    defaults = {address: settings.get(own.objective, address) for address in own.search if _is_own(address)}
    best: list[Candidate] = []
    for trial in complete:
        params = _as_held(own.objective, {name: value for name, value in trial["params"].items() if _is_own(name)})
        if not any(params == other.params for other in best):
            best.append(Candidate(params, trial["number"], trial["value"], trial["best_step"], params == defaults))
    taken = [one for place, one in enumerate(best) if [other.shots for other in best[:place]].count(one.shots) < top]
    yield from taken
    if not any(candidate.defaults for candidate in taken):
        yield next((one for one in best if one.defaults), Candidate(defaults, defaults=True))


def fresh(seed: int, used: Iterable[int], count: int) -> Iterator[int]:
    """So many seeds that follow from the study's and are none of those `used`; fewer of them are the first of more."""
    draw, gone = np.random.default_rng(np.random.SeedSequence([seed, _STREAM])), {*used}
    while count:
        found = int(draw.integers(1, _HIGHEST))
        if found not in gone:
            gone.add(found)
            count -= 1
            yield found


def _as_held(objective: settings.Settings, params: Row) -> Row:
    """Values as the settings hold them: the database has 0 for 0.0."""
    held = settings.replace(objective, params)
    return {address: settings.get(held, address) for address in params}


def _is_own(address: str) -> bool:
    """Whether it belongs to a configuration: the seed and the end are the retraining's."""
    return address not in (SEED, STOP)


def promotable(own: StudySpec) -> Transfer:
    """The objective of a study that can be promoted; raises StudyError."""
    if own.promotes:
        raise StudyError(f"{own.study} is a companion; promote the study itself: hpo promote -s {own.promotes.study}")
    if not isinstance(own.objective, Transfer):
        raise StudyError(f"{own.study}: only fine-tunings have rows to test, and a model")
    return own.objective


def _used(own: StudySpec, trials: Sequence[Row]) -> set[int]:
    found = {own.seed, settings.get(own.objective, SEED), *(trial["params"].get(SEED) for trial in trials)}
    return {seed for seed in found if isinstance(seed, int)}


def _companion(own: StudySpec, promotion: Promotion) -> StudySpec:
    """The study as an ordinary worker runs it; the rows are divided as all trials have divided them."""
    objective = promotable(own)
    seeds = (objective.data.split.seed, objective.training.seed, own.seed)
    divided = next(seed for seed in seeds if seed is not None)
    values = {"data.fit": promotion.fit, "data.score": "test", "data.split.seed": divided}
    tree: dict[str, Any] = own.to_dict() | {
        "study": promotion.companion,
        "objective": settings.replace(own.objective, values).model_dump(),
        "search": {},
        "points": promotion.points,
        "sampler": "grid",
        "pruner": "none",
        "metric": own.metric if promotion.fit == "train" else "train_loss",
        "trials": None,
        "enqueue": [],
        "enqueue_defaults": None,
        "warm_start": "off",
        "stop": {},
        "known": [],
        "promotes": promotion.to_dict(),
    }
    return StudySpec.from_dict(tree)


def _as_before(wish: Wish, before: Promotion) -> Wish:
    return Wish(wish.top or before.top, wish.seeds or len(before.seeds), wish.fit or before.fit)


def _check_same(before: Promotion | None, wanted: Promotion) -> None:
    changes = [] if before is None else list(_changes(before, wanted))
    if changes:
        name = wanted.companion
        raise StudyError(
            f"{name} was made for something else:\n"
            + "\n".join(f"  {change}" for change in changes)
            + f"\nreplace it: hpo promote -s {wanted.study} --again{_options(wanted)}; "
            + f"or look at it: hpo trials -s {name}"
        )


def _options(wanted: Promotion) -> str:
    """What a promotion that begins anew is to be told; it has the defaults otherwise."""
    asked = (("top", wanted.top, TOP), ("seeds", len(wanted.seeds), SEEDS), ("fit", wanted.fit, "train"))
    return "".join(f" --{name} {value}" for name, value, default in asked if value != default)


def _changes(before: Promotion, wanted: Promotion) -> Iterator[str]:
    if before.top != wanted.top:
        yield f"--top: {before.top} -> {wanted.top}"
    if before.seeds != wanted.seeds:
        yield f"--seeds: {len(before.seeds)} -> {len(wanted.seeds)}"
    if before.fit != wanted.fit:
        yield f"--fit: {before.fit} -> {wanted.fit}"
    if before.top == wanted.top and before.candidates != wanted.candidates:
        yield f"the study went on: its best are {_numbers(before)} -> {_numbers(wanted)}"


def _numbers(promotion: Promotion) -> str:
    return "trials " + ", ".join(str(one.number) for one in promotion.candidates if one.number is not None)
