"""Studies under another name: renamed or copied, each in one transaction."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from hpo import claims, rows, spec
from hpo.errors import StudyError
from hpo.lifetime import ALIVE, UNTIL
from hpo.promotion import SUFFIX
from hpo.spec import StudySpec
from hpo.store import CREATE_LOCK, Plan, Store, find, plan_of

_TAKEN = text(
    "SELECT EXISTS (SELECT FROM studies s WHERE study_name = :name AND (EXISTS (SELECT FROM hpo.plans n "
    "WHERE n.study_id = s.study_id) OR EXISTS (SELECT FROM trials t WHERE t.study_id = s.study_id)))"
)
_LIVE = text(
    "SELECT count(*) FROM hpo.attempts a WHERE study_id = :study AND current AND ended IS NULL "
    f"AND {ALIVE.format(attempt='a')}"
)
_RENAME = text("UPDATE hpo.plans SET spec = CAST(:spec AS json) WHERE study_id = :study")


def rename(store: Store, old: str, new: str) -> None:
    """Give a study another name, and with it the companion that retrained its best.

    Raises StudyError where that name is taken or trials are running, SpecError where it can be none. A worker that
    waits for a trial follows the study; one that runs a trial, and the launch that shows it, know it by its name.
    """
    with store.engine.begin() as connection:
        for name in (new, f"{new}{SUFFIX}"):
            _take_name(connection, name)
        plan, companion = plan_of(connection, old), find(connection, f"{old}{SUFFIX}")
        _rename(connection, plan, spec.renamed(plan.spec, new))
        if companion and (promotion := companion.spec.promotes):
            promotion = replace(promotion, study=new)
            _rename(connection, companion, replace(companion.spec, study=promotion.companion, promotes=promotion))


def _rename(connection: Connection, plan: Plan, wanted: StudySpec) -> None:
    claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
    if live := connection.scalar(_LIVE, {"study": plan.study_id}):
        name = plan.spec.study
        raise StudyError(f"{name}: {live} of its trials are running; stop the launch or its workers first")
    rows.rename_study(connection, plan.study_id, wanted.study)
    connection.execute(_RENAME, {"spec": rows.as_json(wanted.to_dict()), "study": plan.study_id})


def copy(store: Store, old: str, new: str, trials_too: bool = False) -> Plan:
    """A new study that searches the same with the same budget, from its beginning or, with all trials, from here.

    Raises StudyError where the name is taken, SpecError where it can be none.
    """
    with store.engine.begin() as connection:
        _take_name(connection, new)
        plan = plan_of(connection, old)
        made = store.write_plan(connection, replace(plan, spec=spec.renamed(plan.spec, new)))
        if trials_too:
            _copy_trials(connection, plan.study_id, made.study_id)
        else:
            store.queue(connection, made)
    return made


def _take_name(connection: Connection, name: str) -> None:
    """Hold the lock under which studies are made and changed: what is read of one after this stands."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATE_LOCK})
    if connection.scalar(_TAKEN, {"name": name}):
        raise StudyError(f"{name}: there is a study of this name already; choose another one")


_HOLD = text("SELECT FROM hpo.attempts WHERE study_id = :old AND current ORDER BY trial_id FOR UPDATE")
_COUNT = text(
    "UPDATE hpo.plans n SET made = o.made, ended_by = o.ended_by, ended_at = o.ended_at FROM hpo.plans o "
    "WHERE o.study_id = :old AND n.study_id = :new"
)
_OURS = {
    "hpo.metrics": "step, attempt, epoch, metrics, details, prune, rungs, recorded",
    "hpo.predictions": "split, step, classes, truth, predicted, probability, loss",
    "hpo.results": "settings, trainable_parameters, seconds, facts",
}
# What runs there does not run here: a copied trial that is not finished waits for a worker.
_ATTEMPTS = text(
    f"""
    INSERT INTO hpo.attempts (trial_id, attempt, study_id, worker, host, pid, started, beat, grace, ended, outcome,
                              error, place, facts, current)
    SELECT n.trial_id, attempt, n.study_id, worker, host, pid, started, beat, grace,
           {UNTIL.format(attempt="a")}, coalesce(outcome, 'released'), error, place, facts, current
    FROM hpo.attempts a JOIN trials o USING (trial_id) JOIN trials n USING (number)
    WHERE o.study_id = :old AND n.study_id = :new
    """
)
_WISHES = text(
    "INSERT INTO hpo.wishes (study_id, trial_id, verb, who, wished, stands) "
    "SELECT n.study_id, n.trial_id, verb, who, wished, stands "
    "FROM hpo.wishes JOIN trials o USING (trial_id) JOIN trials n USING (number) "
    "WHERE o.study_id = :old AND n.study_id = :new ORDER BY wish"
)
_POINTS = text(
    "INSERT INTO hpo.points (study_id, point, try, trial_id) SELECT n.study_id, point, try, n.trial_id "
    "FROM hpo.points p JOIN trials o USING (trial_id) JOIN trials n USING (number) "
    "WHERE o.study_id = :old AND n.study_id = :new"
)
_FOREIGN = text(
    "SELECT trial_id FROM trials t WHERE study_id = :new AND state = 'RUNNING' "
    "AND NOT EXISTS (SELECT FROM hpo.attempts a WHERE a.trial_id = t.trial_id)"
)


def _copy_trials(connection: Connection, old: int, new: int) -> None:
    """All trials as they stand now; reports and finishes wait meanwhile, since they lock their attempt first."""
    both = {"old": old, "new": new}
    claims.lock(connection, claims.CLAIM_LOCK, old)
    connection.execute(_HOLD, both)
    rows.copy_trials(connection, old, new)
    for table, columns in _OURS.items():
        rows.copy_rows(connection, table, columns, old, new)
    for statement in (_ATTEMPTS, _POINTS, _WISHES, _COUNT):
        connection.execute(statement, both)
    for trial_id in connection.scalars(_FOREIGN, both).all():
        rows.fail_trial(connection, trial_id)  # another program's trial stays with that program
