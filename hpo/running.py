"""A claimed trial in its worker's hands: suggest, report, finish, with Optuna and our own books in step.

Within a transaction Optuna's statements come first: they lock the trial's row, which our inserts refer to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState
from sqlalchemy import Connection, text

from hpo import attempts, claims, rows, search, space
from hpo.attempts import Claim, Standing
from hpo.spec import StudySpec, settings_for
from hpo.store import Store
from objectives.evaluation import Evaluation, Result

Outcome = Literal["complete", "pruned", "fail"]


class Superseded(Exception):  # noqa: N818 - not an error: the trial goes on elsewhere
    """The attempt is no longer this worker's: it was taken for dead, or someone finished the trial."""


class Cancelled(Superseded):
    """The trial is over: people ended it. The message says who."""


def keep_to(standing: Standing) -> None:
    """Raise Superseded, or Cancelled, where a claim is no longer its worker's."""
    if standing.cancelled:
        raise Cancelled(standing.cancelled)
    if not standing.owned:
        raise Superseded("taken over by another worker")


def open_storage(store: Store) -> BaseStorage:
    """Optuna's storage for any number of studies, over one connection of its own."""
    return optuna.storages.get_storage(store.optuna_storage())


class Study:
    """Optuna's view of one study, kept by a worker between its trials; several may share one `storage`."""

    def __init__(self, store: Store, study: str | int, storage: BaseStorage | None = None) -> None:
        self.store, self.study_id = store, store.plan(study).study_id
        self.storage = storage or open_storage(store)
        self.reload()

    def reload(self) -> None:
        """Forget what Optuna keeps from a trial that it was never told the end of.

        Raises StudyError where the study was deleted.
        """
        self.optuna = self._load(self.store.plan(self.study_id).spec.study)

    def _load(self, name: str) -> optuna.Study:
        sampler = optuna.samplers.RandomSampler()  # each trial brings its own
        return optuna.load_study(study_name=name, storage=self.storage, sampler=sampler)

    def begin(self, claim: Claim, spec: StudySpec) -> RunningTrial:
        """The claimed trial with all its parameters: stored ones come back unchanged, missing ones are drawn.

        Suggesting is serial within a study, so that a sampler sees what runs elsewhere; losing that lock costs
        quality, never exactness. Raises Superseded where the trial was finished meanwhile.
        """
        self.optuna.sampler = search.sampler(spec, claim.number)
        self.optuna.pruner = search.pruner(spec)
        with self.store.engine.begin() as connection:
            claims.lock(connection, claims.SUGGEST_LOCK, claim.study_id)
            self.optuna.get_trials(deepcopy=False)  # fills the cache that suggest_* of an adopted trial needs
            trial = Trial(self.optuna, claim.trial_id)
            try:
                params = space.suggest(spec.search, trial)
            except UpdateFinishedTrialError:
                keep_to(attempts.beat(connection, claim))
                raise Superseded("finished by another program") from None
        return RunningTrial(self.store, claim, spec, trial, params)


_RECORD = text(
    f"""
    INSERT INTO hpo.metrics (trial_id, step, attempt, epoch, metrics, details, prune, rungs)
    VALUES (:trial, :step, :attempt, :epoch, CAST(:metrics AS json), CAST(:details AS json), :prune,
            ({rows.COUNT_RUNGS}))
    """
)
_KEEP = text(
    """
    INSERT INTO hpo.results (trial_id, settings, trainable_parameters, seconds, facts)
    VALUES (:trial, CAST(:settings AS json), :parameters, CAST(:seconds AS json), CAST(:facts AS json))
    ON CONFLICT (trial_id) DO NOTHING
    """
)


class RunningTrial:
    """One attempt at one trial."""

    def __init__(self, store: Store, claim: Claim, spec: StudySpec, trial: Trial, params: Mapping[str, Any]) -> None:
        self.store, self.claim, self.spec, self.trial, self.params = store, claim, spec, trial, params
        self._last_step, self._reported_step = claim.last_step, claim.reported_step
        self._unsure = False
        self.held = False  # at the last report: the trial is to be given back
        self.result: Result | None = None  # what is known of the trial so far

    def report(self, evaluation: Evaluation) -> bool:
        """Record an evaluation and return the pruner's verdict; one that is recorded already is passed over.

        Raises Superseded.
        """
        self.result = evaluation.result
        if evaluation.step <= self._last_step:
            return False
        if self._unsure:  # the last call was cut off: perhaps Optuna has heard of the step, and we have not
            self.claim = self.store.position(self.claim)
            self._last_step, self._reported_step = self.claim.last_step, self.claim.reported_step
            if evaluation.step <= self._last_step:
                return self.claim.pruned
        self._unsure = True
        value = evaluation.metrics.get(self.spec.metric, math.nan)
        with self.store.engine.begin() as connection:
            self._own(connection)
            prune = self._verdict(value, evaluation.step) and not self._is_over(value, evaluation.step)
            self._record(connection, evaluation, prune)
        self._unsure = False
        return prune

    def finish(self, outcome: Outcome, error: str | None = None, place: str | None = None) -> None:
        """Tell Optuna and close the attempt; raises Superseded.

        The attempt's row stays locked from the check to the end, so that nobody adopts the trial in between.
        """
        with self.store.engine.begin() as connection:
            self._own(connection)
            value = self._best(connection) if outcome == "complete" else None
            if outcome == "complete" and value is None:
                outcome, error = "fail", f"no evaluation recorded a finite {self.spec.metric}"
            state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}[outcome]
            self.trial.study.tell(self.trial, value, state=state, skip_if_finished=True)
            self._keep(connection)
            attempts.end(connection, self.claim.trial_id, self.claim.attempt, outcome, error, place)
            if outcome == "fail":
                _stop_if_hopeless(connection, self.claim.study_id, error)

    def _own(self, connection: Connection) -> None:
        standing = attempts.beat(connection, self.claim)
        keep_to(standing)
        self.held = standing.held

    def _is_over(self, value: float, step: int) -> bool:
        """Whether nothing is left to save: a trial that has trained to its end is complete, however it compares."""
        return math.isfinite(value) and step >= self.spec.epochs * self.spec.evaluations_per_epoch

    def _verdict(self, value: float, step: int) -> bool:
        """Optuna's; a value that is not finite is never reported, and ends the trial."""
        if not math.isfinite(value):
            return True
        if step > self._reported_step:
            self.trial.report(value, step)
        return self.trial.should_prune()

    def _record(self, connection: Connection, evaluation: Evaluation, prune: bool) -> None:
        connection.execute(
            _RECORD,
            {
                "trial": self.claim.trial_id,
                "step": evaluation.step,
                "attempt": self.claim.attempt,
                "epoch": evaluation.epoch,
                "metrics": rows.as_json({k: v if math.isfinite(v) else None for k, v in evaluation.metrics.items()}),
                "details": rows.as_json(evaluation.details),
                "prune": prune,
            },
        )

    def _best(self, connection: Connection) -> float | None:
        """The best of the metric over the trial's evaluations, as recorded by all its attempts."""
        best = "min" if self.spec.direction == "minimize" else "max"
        found: float | None = connection.scalar(
            text(f"SELECT {best}((metrics ->> :metric)::double precision) FROM hpo.metrics WHERE trial_id = :trial"),
            {"metric": self.spec.metric, "trial": self.claim.trial_id},
        )
        return found

    def _keep(self, connection: Connection) -> None:
        result = self.result
        settings = settings_for(self.spec, self.params).model_dump(mode="json")
        connection.execute(
            _KEEP,
            {
                "trial": self.claim.trial_id,
                "settings": rows.as_json(settings),
                "parameters": result and result.trainable_parameters,
                "seconds": rows.as_json(dict(result.seconds) if result else {}),
                "facts": rows.as_json(dict(result.facts) if result else {}),
            },
        )


_HOPELESS = text(
    """
    UPDATE hpo.plans SET error = :error
    WHERE study_id = :study
      AND NOT EXISTS (SELECT FROM trials WHERE study_id = :study AND state IN ('COMPLETE', 'PRUNED'))
      AND (SELECT count(*) >= 3 AND count(DISTINCT place) = 1 AND count(place) = count(*)
           FROM hpo.attempts WHERE study_id = :study AND outcome = 'fail')
    """
)


def _stop_if_hopeless(connection: Connection, study_id: int, error: str | None) -> None:
    """Every trial so far failed, three or more, all the same way: the study stops and says so."""
    said = f"the first trials all failed with: {error}; mend it and launch again"
    connection.execute(_HOPELESS, {"study": study_id, "error": said})
