"""What people may ask of a study and its trials from anywhere: one transaction each, under the lock of claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, text

from hpo import attempts, claims, rows, wishes
from hpo.errors import StudyError
from hpo.store import Plan, Store

OPEN = ("RUNNING", "WAITING")


def pause(store: Store, study: str, who: str, numbers: Sequence[int] = ()) -> None:
    """Let workers give back the study's trials, or those of these numbers, and take none of them until it is undone.

    Raises StudyError where that is so already, and where a trial, or all of the study, is finished.
    """
    with _locked(store, study) as (connection, plan):
        if not numbers:
            _hold(connection, plan, "pause", who)
        for trial in _unfinished(connection, plan, numbers):
            if trial.state == "RUNNING" and trial.attempt is None:
                raise StudyError(f"{study}: trial {trial.number} runs in another program, which cannot be paused")
            if found := wishes.standing(connection, plan.study_id, trial.trial_id):
                raise StudyError(f"{study}: trial {trial.number} is paused already, by {found.who}")
            wishes.record(connection, plan.study_id, trial.trial_id, "pause", who)


def stop(store: Store, study: str, who: str) -> None:
    """As a pause of the study, but its workers end; raises StudyError as that does."""
    with _locked(store, study) as (connection, plan):
        _hold(connection, plan, "stop", who)


def resume(store: Store, study: str, who: str, numbers: Sequence[int] = ()) -> None:
    """Undo a pause or stop of the study, or the pause of these trials; raises StudyError where there is none."""
    with _locked(store, study) as (connection, plan):
        if not numbers and wishes.standing(connection, plan.study_id) is None:
            raise StudyError(f"{study}: it is not paused{_paused_trials(connection, plan)}")
        if not numbers:
            wishes.record(connection, plan.study_id, None, "resume", who)
        for trial in _found(connection, plan, numbers):
            if wishes.standing(connection, plan.study_id, trial.trial_id) is None:
                raise StudyError(f"{study}: trial {trial.number} is not paused by itself; nothing was changed")
            wishes.record(connection, plan.study_id, trial.trial_id, "resume", who)


def restart(store: Store, study: str, who: str) -> str | None:
    """Undo a stop, as a new launch does; whose it was, None where the study was not stopped."""
    with _locked(store, study) as (connection, plan):
        found = wishes.standing(connection, plan.study_id)
        if found is None or found.verb != "stop":
            return None
        wishes.record(connection, plan.study_id, None, "resume", who)
        return found.who


def cancel(store: Store, study: str, who: str, numbers: Sequence[int] = ()) -> list[int]:
    """Fail these trials, or all that are not finished and stop the study; returns their numbers.

    A worker that runs one of them finds its attempt ended. Raises StudyError where a trial, or all, is finished.
    """
    with _locked(store, study) as (connection, plan):
        if not numbers:
            _refuse_complete(connection, plan)
            wishes.record(connection, plan.study_id, None, "stop", who)
        trials = _unfinished(connection, plan, numbers or None)
        ended = [trial for trial in trials if rows.fail_trial(connection, trial.trial_id)]
        if numbers:  # the worker of one may just have told Optuna its end
            _unfinished(connection, plan, [trial.number for trial in trials if trial not in ended])
        for trial in ended:
            if trial.attempt is not None:
                attempts.correct(connection, trial.trial_id, trial.attempt, "cancelled", f"cancelled by {who}")
            wishes.record(connection, plan.study_id, trial.trial_id, "cancel", who)
        return [trial.number for trial in ended]


def requeue(
    store: Store, study: str, who: str, numbers: Sequence[int] = (), *, complete: bool = False
) -> dict[int, int]:
    """Queue trials again with their parameters, on top of the budget: the new number of each.

    Without `numbers` all failed ones that were neither cancelled nor queued again before. A COMPLETE one is refused
    unless `complete`. Raises StudyError where one is not finished, or there is none.
    """
    with _locked(store, study) as (connection, plan):
        chosen = numbers or list(connection.scalars(_FAILED, {"study": plan.study_id}))
        if not chosen:
            raise StudyError(f"{study}: no failed trial is left to queue again; cancelled ones are named with --trial")
        trials = _found(connection, plan, chosen)
        for trial in trials:
            _refuse_to_repeat(plan, trial, complete)
        return {trial.number: _again(connection, plan, trial, who) for trial in trials}


@contextmanager
def _locked(store: Store, study: str) -> Iterator[tuple[Connection, Plan]]:
    plan = store.plan(study)
    with store.engine.begin() as connection:
        claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
        yield connection, plan


def _hold(connection: Connection, plan: Plan, verb: wishes.Verb, who: str) -> None:
    _refuse_complete(connection, plan)
    found = wishes.standing(connection, plan.study_id)
    if found and found.verb in (verb, "stop"):
        done = {"pause": "paused", "stop": "stopped"}[found.verb]
        raise StudyError(f"{plan.spec.study}: it is {done} already, by {found.who}")
    wishes.record(connection, plan.study_id, None, verb, who)


def _refuse_complete(connection: Connection, plan: Plan) -> None:
    state = connection.scalar(text("SELECT state FROM hpo.studies WHERE study = :study"), {"study": plan.spec.study})
    if state == "complete":
        raise StudyError(f"{plan.spec.study}: it is complete; nothing is left to run")


def _paused_trials(connection: Connection, plan: Plan) -> str:
    paused = connection.scalars(_PAUSED, {"study": plan.study_id}).all()
    return f"; of its trials {', '.join(map(str, paused))} are: name them with --trial" if paused else ""


_PAUSED = text(
    "SELECT t.number FROM hpo.wishes w JOIN trials t USING (trial_id) "
    "WHERE w.study_id = :study AND w.stands AND t.state IN ('RUNNING', 'WAITING') ORDER BY t.number"
)
# Who reports or finishes holds the attempt's row: what is read after it is how the trial stands, and stays.
_WAIT = text(
    """
    SELECT FROM hpo.attempts a JOIN trials t USING (trial_id)
    WHERE a.study_id = :study AND a.current
      AND (CAST(:numbers AS integer[]) IS NULL OR t.number = ANY(CAST(:numbers AS integer[])))
    ORDER BY trial_id FOR UPDATE OF a
    """
)
_FIND = text(
    """
    SELECT t.trial_id, t.number, t.state::text AS state, a.attempt
    FROM trials t LEFT JOIN hpo.attempts a ON a.trial_id = t.trial_id AND a.current
    WHERE t.study_id = :study AND (CAST(:numbers AS integer[]) IS NULL AND t.state IN ('RUNNING', 'WAITING')
                                   OR t.number = ANY(CAST(:numbers AS integer[])))
    ORDER BY t.number
    """
)


def _found(connection: Connection, plan: Plan, numbers: Sequence[int] | None) -> Sequence[Row[Any]]:
    """The trials of these numbers; None is all that are not finished."""
    chosen = None if numbers is None else sorted(set(numbers))
    which = {"study": plan.study_id, "numbers": chosen}
    connection.execute(_WAIT, which)
    found = connection.execute(_FIND, which).all()
    if missing := set(chosen or ()) - {trial.number for trial in found}:
        study = plan.spec.study
        raise StudyError(f"{study}: there is no trial {min(missing)}; hpo trials -s {study} lists them")
    return found


def _unfinished(connection: Connection, plan: Plan, numbers: Sequence[int] | None) -> Sequence[Row[Any]]:
    found = _found(connection, plan, numbers)
    for trial in found:
        if trial.state not in OPEN:
            raise StudyError(f"{plan.spec.study}: trial {trial.number} is {trial.state} already; nothing was changed")
    return found


_FAILED = text(
    """
    SELECT number FROM trials t WHERE study_id = :study AND state = 'FAIL'
      AND NOT EXISTS (SELECT FROM hpo.wishes w WHERE w.trial_id = t.trial_id AND w.verb = 'cancel')
      AND NOT EXISTS (SELECT FROM trial_user_attributes u JOIN trials n USING (trial_id) WHERE n.study_id = :study
                      AND u.key = 'requeued_from' AND u.value_json = t.number::text)
    ORDER BY number
    """
)
_NEXT_TRY = text(
    """
    INSERT INTO hpo.points (study_id, point, try, trial_id)
    SELECT study_id, point, (SELECT max(try) + 1 FROM hpo.points n WHERE (n.study_id, n.point) = (p.study_id, p.point)),
           :new
    FROM hpo.points p WHERE trial_id = :old
    """
)


def _refuse_to_repeat(plan: Plan, trial: Row[Any], complete: bool) -> None:
    at = f"{plan.spec.study}: trial {trial.number} is {trial.state}"
    if trial.state in OPEN:
        raise StudyError(f"{at}: only a finished one is queued again; hpo cancel -s {plan.spec.study} --trial ends it")
    if trial.state == "COMPLETE" and not complete:
        raise StudyError(f"{at}: its result stands; --complete runs its parameters once more")


def _again(connection: Connection, plan: Plan, trial: Row[Any], who: str) -> int:
    """A new row with the trial's parameters; its number."""
    parameters = rows.parameters(connection, trial.trial_id)
    new = rows.insert_trial(connection, plan.study_id, "WAITING", parameters)
    rows.set_user_attribute(connection, new, "requeued_from", trial.number)
    connection.execute(_NEXT_TRY, {"old": trial.trial_id, "new": new})
    wishes.record(connection, plan.study_id, new, "requeue", who)
    return int(connection.scalar(text("SELECT number FROM trials WHERE trial_id = :new"), {"new": new}) or 0)
