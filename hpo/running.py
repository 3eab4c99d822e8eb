"""A claimed trial in its worker's hands: suggest, report, finish, with Optuna and our own books in step.

Optuna commits its statements itself, so they stand between transactions of ours, never within one: a worker that holds
one connection waits for no second. Suggesting alone is within one, which holds its lock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState
from sqlalchemy import Connection, text

from hpo import attempts, claims, predictions, rows, search, space
from hpo.attempts import Claim, Standing
from hpo.database import is_full
from hpo.patience import AWAY
from hpo.spec import StudySpec, settings_for
from hpo.store import Store
from objectives.evaluation import Evaluation, Result

TURN = 0.05  # seconds between two tries to be the one who suggests
Outcome = Literal["complete", "pruned", "fail"]
INFEASIBLE = "infeasible"
"""The constraint of Optuna's that is above 0 for parameters that could not be trained with, and unset for others."""


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


def _finished_by(store: Store, claim: Claim) -> Superseded:
    """Who finished a trial before its worker did: people, by a cancel, or a program that knows of no attempts."""
    with store.engine.begin() as connection:
        try:
            keep_to(attempts.beat(connection, claim))
        except Superseded as why:
            return why
    return Superseded("finished by another program")


def open_storage(store: Store) -> BaseStorage:
    """Optuna's storage for any number of studies, which keeps what it has seen of them."""
    return optuna.storages.get_storage(store.storage)


class Study:
    """Optuna's view of one study, kept by a worker between its trials; several may share one `storage`."""

    def __init__(self, store: Store, study: str | int, storage: BaseStorage | None = None) -> None:
        plan = store.plan(study)
        self.store, self.study_id, self.models, self.folder = store, plan.study_id, plan.models, plan.folder
        self.fingerprint = plan.fingerprint
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
        try:
            with self._alone():
                trial, params = self._suggest(claim, spec)
        except AWAY as error:
            if not is_full(error):
                raise
            trial, params = self._suggest(claim, spec)  # one connection is enough without the lock
        except UpdateFinishedTrialError:
            raise _finished_by(self.store, claim) from None
        return RunningTrial(self.store, claim, spec, trial, params)

    def _suggest(self, claim: Claim, spec: StudySpec) -> tuple[Trial, dict[str, Any]]:
        self.optuna.get_trials(deepcopy=False)  # fills the cache that suggest_* of an adopted trial needs
        trial = Trial(self.optuna, claim.trial_id)
        return trial, space.suggest(spec.search, trial)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of suggesting. Who waits for it holds no connection: who has it needs a second one, and would
        wait in vain where all others of a small pool hold their first."""
        while True:
            with self.store.engine.begin() as connection:
                if claims.try_lock(connection, claims.SUGGEST_LOCK, self.study_id):
                    yield
                    return
            time.sleep(TURN)


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


_LAST = text(
    "SELECT step, metrics ->> :metric AS value FROM hpo.metrics WHERE trial_id = :trial ORDER BY step DESC LIMIT 1"
)


class RunningTrial:
    """One attempt at one trial."""

    def __init__(self, store: Store, claim: Claim, spec: StudySpec, trial: Trial, params: Mapping[str, Any]) -> None:
        self.store, self.claim, self.spec, self.trial, self.params = store, claim, spec, trial, params
        self._last_step, self._reported_step = claim.last_step, claim.reported_step
        self._unsure = False
        self.held = False  # at the last report: the trial is to be given back
        self._first = True  # of this attempt: perhaps an earlier one was under another pruner
        self._runtime: Mapping[str, Any] = {}  # as it is kept
        self.result: Result | None = None  # what is known of the trial so far
        self.checkpointing = 0.0  # seconds of what the result calls report

    def report(self, evaluation: Evaluation, attempt: int | None = None) -> bool:
        """Record an evaluation and return the pruner's verdict; one that is recorded already is passed over.

        It counts for the `attempt` that made it, by default this one. No connection is held while another is needed:
        the beat before Optuna's statements keeps the trial from being adopted for the grace period, and the one after
        them sees that it was not. Raises Superseded.
        """
        self.result = evaluation.result
        if evaluation.step <= self._last_step:
            return False
        if self._unsure:  # the last call was cut off: perhaps Optuna has heard of the step, and we have not
            with self.store.engine.begin() as connection:
                self._own(connection)  # an adopter's half-done step is not ours to undo
                self.claim = attempts.position(connection, self.claim)
            self._last_step, self._reported_step = self.claim.last_step, self.claim.reported_step
            if evaluation.step <= self._last_step:
                return self.claim.pruned
        self._unsure = True
        value = evaluation.metrics.get(self.spec.metric, math.nan)
        with self.store.engine.begin() as connection:
            self._own(connection)
        try:
            prune = self._verdict(value, evaluation.step) and not self._is_over(value, evaluation.step)
        except UpdateFinishedTrialError:
            raise _finished_by(self.store, self.claim) from None
        with self.store.engine.begin() as connection:
            self._own(connection)
            self._record(connection, evaluation, attempt or self.claim.attempt, prune)
            if self.spec.promotes is None or (evaluation.predictions and evaluation.predictions.split == "test"):
                predictions.keep(connection, self.claim.trial_id, evaluation, self.spec.metric, self.spec.direction)
            runtime = self._keep_runtime(connection)
        self._unsure = self._first = False
        self._runtime = runtime
        return prune

    def finish(
        self, outcome: Outcome, error: str | None = None, place: str | None = None, *, infeasible: bool = False
    ) -> None:
        """Tell Optuna and close the attempt; raises Superseded.

        What is to be kept is written first: whoever finds the trial finished and its attempt open closes that one, and
        nothing is missing. `infeasible` parameters are those that could not be trained with at all, which the sampler
        is told as a constraint that is not met; an evaluation that was not finite says the same. Its rungs of
        successive halving are forgotten.
        """
        with self.store.engine.begin() as connection:
            self._own(connection)
            last = connection.execute(_LAST, self._metric()).one_or_none()
            if outcome == "pruned" and last is not None and last.value is None:
                infeasible, error = True, error or f"{self.spec.metric} was not finite at step {last.step}"
            value = self._best(connection) if outcome == "complete" else None
            if outcome == "complete" and value is None:
                outcome, error = "fail", f"no evaluation recorded a finite {self.spec.metric}"
            if infeasible:  # what cannot be trained with takes no place of those that can
                rows.drop_rungs(connection, self.claim.trial_id, 0)
            self._keep(connection)
            attempts.explain(connection, self.claim, error, place)
        try:
            self._tell(outcome, value, infeasible)
        except UpdateFinishedTrialError:
            raise _finished_by(self.store, self.claim) from None
        with self.store.engine.begin() as connection:
            self._own(connection)  # people may have cancelled it since
            attempts.end(connection, self.claim.trial_id, self.claim.attempt, outcome, error, place)
            predictions.forget(connection, self.claim.study_id, self.spec.direction)
            if outcome == "fail":
                _stop_if_hopeless(connection, self.claim.study_id, error)

    def _tell(self, outcome: Outcome, value: float | None, infeasible: bool) -> None:
        if infeasible and INFEASIBLE not in self.trial.constraints:
            self.trial.set_constraint(INFEASIBLE, 1.0)
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}[outcome]
        self.trial.study.tell(self.trial, value, state=state, skip_if_finished=True)

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
        asked = self._first or search.decides(self.spec, step)
        return asked and bool(self.trial.should_prune())  # some of Optuna's pruners answer with NumPy's

    def _record(self, connection: Connection, evaluation: Evaluation, attempt: int, prune: bool) -> None:
        connection.execute(
            _RECORD,
            {
                "trial": self.claim.trial_id,
                "step": evaluation.step,
                "attempt": attempt,
                "epoch": evaluation.epoch,
                "metrics": rows.as_json({k: v if math.isfinite(v) else None for k, v in evaluation.metrics.items()}),
                "details": rows.as_json(evaluation.details),
                "prune": prune,
            },
        )

    def _keep_runtime(self, connection: Connection) -> Mapping[str, Any]:
        """How the attempt computes, kept where it is not yet."""
        runtime = self.result.runtime if self.result else {}
        if runtime != self._runtime:
            attempts.computes(connection, self.claim, runtime)
        return runtime

    def _best(self, connection: Connection) -> float | None:
        """The best of the metric over the trial's evaluations, as recorded by all its attempts."""
        best = "min" if self.spec.direction == "minimize" else "max"
        found: float | None = connection.scalar(
            text(f"SELECT {best}((metrics ->> :metric)::double precision) FROM hpo.metrics WHERE trial_id = :trial"),
            self._metric(),
        )
        return found

    def _metric(self) -> dict[str, Any]:
        return {"metric": self.spec.metric, "trial": self.claim.trial_id}

    def _keep(self, connection: Connection) -> None:
        result = self.result
        settings = settings_for(self.spec, self.params).model_dump(mode="json")
        connection.execute(
            _KEEP,
            {
                "trial": self.claim.trial_id,
                "settings": rows.as_json(settings),
                "parameters": result and result.trainable_parameters,
                "seconds": rows.as_json(_phases(result, self.checkpointing) if result else {}),
                "facts": rows.as_json(dict(result.facts) if result else {}),
            },
        )


def _phases(result: Result, checkpointing: float) -> dict[str, float]:
    """The trial's seconds by phase, this attempt's checkpoints apart from the reports that they are part of."""
    found = dict(result.seconds)
    some = min(checkpointing, found.get("report", 0.0))
    return {**found, "report": found["report"] - some, "checkpoint": some} if some else found


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
