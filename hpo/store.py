"""What is said to the database about studies and attempts: verbs of the domain, one transaction each."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import optuna
from sqlalchemy import Connection, text

from hpo import attempts, claims, rows, schema, stopping
from hpo.attempts import Claim, Ending, Standing, Worker
from hpo.claims import Nothing
from hpo.config import Config
from hpo.database import DRIVER, Database, connect, minded
from hpo.errors import StudyError, no_study
from hpo.lifetime import UNTIL
from hpo.rules import Stop
from hpo.spec import StudySpec, changed, differences

CREATE_LOCK = 0x68706F03
CREATE_SECONDS = 60  # Optuna makes its study while our transaction waits, however short the grace
DELETIONS = 10
_DELETED = "the study was deleted"

optuna.logging.set_verbosity(optuna.logging.WARNING)  # its chatter of studies and trials is ours to tell


@dataclass(frozen=True)
class Plan:
    """A study as the database holds it.

    `fingerprint` is of the rows that it was made with, None where it has none; `models` tells, by name, which state of
    its models it was made with, where that is known.
    """

    study_id: int
    spec: StudySpec
    made: int = 0
    fingerprint: str | None = None
    created: datetime | None = None
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name of its folder of checkpoints, its own among all studies of all databases, whatever it is called."""
        return f"{self.created:%Y%m%d-%H%M%S-%f}-{self.study_id}"


@contextmanager
def open_store(config: Config) -> Iterator[Store]:
    """The store of this configuration's database, its schema created where it is missing; raises DatabaseError."""
    with connect(config) as database:
        schema.ensure(database)
        store = Store(database)
        try:
            yield store
        finally:
            store.close()


class Store:
    """Studies, claims and attempts, over one connection, which Optuna's storage uses in turns with us.

    `storage` checks nothing: the tables are known to be right.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.storage = optuna.storages.RDBStorage(
            f"{DRIVER}://",
            engine_kwargs=database.engine_options(),
            skip_compatibility_check=True,
            skip_table_creation=True,
        )
        self.engine = minded(self.storage.engine)

    def close(self) -> None:
        """Give the connection back."""
        self.storage.remove_session()
        self.engine.dispose()

    def create(
        self,
        spec: StudySpec,
        fingerprint: str | None = None,
        models: Mapping[str, str] | None = None,
        more: int = 0,
    ) -> Plan:
        """The study of this name: made now, or continued with the new budget, pruner and queue.

        Where its rules to stop are others now, one that had ended it is judged anew.
        With `more`, the budget is so many trials above what the database has, whatever the spec says. Raises StudyError
        where there is nothing to add to, or where what is searched, how, the rows or the models differ from what is
        there.
        """
        with self.engine.begin() as connection:
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{CREATE_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATE_LOCK})
            plan = find(connection, spec.study)
            if plan is None and more:
                raise StudyError(f"{spec.study}: no such study in the database to add trials to; give --trials {more}")
            if plan is None:
                return self._create(connection, Plan(0, spec, fingerprint=fingerprint, models=models or {}))
            claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)  # none is under way by rules that were
            _check_same(plan, spec, fingerprint, models or {})
            spec = replace(_extended(plan, spec, more) if more else spec, known=plan.spec.known)
            _queue(connection, plan.study_id, [point for point in spec.enqueue if point not in plan.spec.enqueue])
            connection.execute(
                _CONTINUE,
                {
                    "spec": rows.as_json(spec.to_dict()),
                    "budget": spec.trials,
                    "study": plan.study_id,
                    "anew": spec.stop != plan.spec.stop,
                },
            )
            return replace(plan, spec=spec)

    def _create(self, connection: Connection, wanted: Plan) -> Plan:
        plan = self.write_plan(connection, wanted)
        self.queue(connection, plan)
        return plan

    def write_plan(self, connection: Connection, wanted: Plan) -> Plan:
        """A study without trials that is like the `wanted` one, in the caller's transaction.

        Optuna's study first, by its public API on a connection of its own; if we die in between, the next call finds
        it without trials and goes on. Raises StudyError where another program made it.
        """
        spec = wanted.spec
        study = optuna.create_study(
            storage=self.storage, study_name=spec.study, direction=spec.direction, load_if_exists=True
        )
        study_id = connection.scalar(
            text("SELECT study_id FROM studies WHERE study_name = :name"), {"name": study.study_name}
        )
        foreign = text("SELECT EXISTS (SELECT FROM trials WHERE study_id = :study)")
        if connection.scalar(foreign, {"study": study_id}):
            raise StudyError(f"{spec.study}: another program made a study of this name; choose another with --as NAME")
        connection.execute(
            text(
                "INSERT INTO hpo.plans (study_id, spec, budget, fingerprint, models) "
                "VALUES (:study, CAST(:spec AS json), :budget, :fingerprint, CAST(:models AS json))"
            ),
            {
                "study": study_id,
                "spec": rows.as_json(spec.to_dict()),
                "budget": spec.trials,
                "fingerprint": wanted.fingerprint,
                "models": rows.as_json(dict(wanted.models)),
            },
        )
        return Plan(study_id, spec, fingerprint=wanted.fingerprint, models=wanted.models)

    def queue(self, connection: Connection, plan: Plan) -> None:
        """Queue the points that a new study tries first, in the caller's transaction."""
        _queue(connection, plan.study_id, plan.spec.enqueue)

    def plan(self, study: str | int) -> Plan:
        """The study of this name or study_id; raises StudyError where there is none."""
        with self.engine.begin() as connection:
            return plan_of(connection, study)

    def has(self, study: str) -> bool:
        """Whether there is a study of this name."""
        with self.engine.begin() as connection:
            return find(connection, study) is not None

    def enqueue(self, study: str, points: Sequence[Mapping[str, Any]]) -> None:
        """Queue a person's own points, on top of the budget."""
        plan = self.plan(study)
        with self.engine.begin() as connection:
            claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
            _queue(connection, plan.study_id, points)

    def claim(self, study: str | int, worker: Worker) -> tuple[StudySpec, Claim | Nothing]:
        """The next trial for this worker, with the study as it is now; its study_id holds when it is renamed."""
        with self.engine.begin() as connection:
            plan = find(connection, study)
            if plan is None:
                raise StudyError(_DELETED)
            return plan.spec, claims.claim(connection, plan.study_id, plan.spec, worker)

    def unfinished(self, study_id: int) -> set[str]:
        """The trial_ids of a study, as text, that somebody runs or may go on with."""
        with self.engine.begin() as connection:
            current = text("SELECT trial_id::text FROM hpo.attempts WHERE study_id = :study AND current")
            return set(connection.scalars(current, {"study": study_id}))

    def open_studies(self) -> list[tuple[int, str]]:
        """The study_ids and names of the studies with trials to run or to wait for: by priority, then the oldest.

        Those that are paused or stopped are not among them.
        """
        with self.engine.begin() as connection:
            return [(row.study_id, row.study_name) for row in connection.execute(_OPEN)]

    def end(self, study_id: int, stop: Stop, why: str) -> bool:
        """End a study by one of its rules, unless these were changed meanwhile; whether it was."""
        with self.engine.begin() as connection:
            claims.lock(connection, claims.CLAIM_LOCK, study_id)
            plan = find(connection, study_id)
            if plan is None or plan.spec.stop != stop or plan.made >= plan.spec.trials:
                return False
            stopping.end(connection, study_id, why)
            return True

    def beat(self, claim: Claim) -> Standing:
        """Mark life; whether the attempt is this worker's still, and what people want of it."""
        with self.engine.begin() as connection:
            return attempts.beat(connection, claim)

    def release(self, claim: Claim) -> None:
        """Give the trial back unfinished: another worker may continue it at once."""
        with self.engine.begin() as connection:
            attempts.end(connection, claim.trial_id, claim.attempt, "released")

    def end_attempts_of(self, worker: str, ending: Ending, error: str | None = None) -> list[int]:
        """Close what a worker that is gone left open; returns the numbers of its trials."""
        with self.engine.begin() as connection:
            found = connection.execute(
                text(
                    "SELECT a.trial_id, a.attempt, t.number FROM hpo.attempts a JOIN trials t USING (trial_id) "
                    "WHERE a.worker = :worker AND a.current AND a.ended IS NULL FOR UPDATE OF a"
                ),
                {"worker": worker},
            ).all()
            for attempt in found:
                attempts.end(connection, attempt.trial_id, attempt.attempt, ending, error)
        return [attempt.number for attempt in found]

    def delete(self, study: str) -> None:
        """Remove a study and all that belongs to it.

        Its workers let go first. Optuna says nothing of a deletion that a report came in between of, so that it is
        looked for. Raises StudyError where it stays.
        """
        plan = self.plan(study)
        with self.engine.begin() as connection:
            claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
            connection.execute(_CLOSE, {"study": plan.study_id, "error": f"{study} is being deleted"})
        for _ in range(DELETIONS):
            optuna.delete_study(study_name=study, storage=self.storage)
            if not self._exists(plan.study_id):
                return
        raise StudyError(f"{study}: something still writes to it; stop its workers and delete it again")

    def _exists(self, study_id: int) -> bool:
        with self.engine.begin() as connection:
            found = text("SELECT EXISTS (SELECT FROM studies WHERE study_id = :study)")
            return bool(connection.scalar(found, {"study": study_id}))


_OPEN = text(
    """
    SELECT study_id, study_name FROM hpo.plans n JOIN studies USING (study_id)
    WHERE n.error IS NULL
      AND NOT EXISTS (SELECT FROM hpo.wishes w WHERE w.study_id = n.study_id AND w.trial_id IS NULL AND w.stands)
      AND (
        n.made < n.budget AND n.ended_by IS NULL
        OR EXISTS (SELECT FROM hpo.attempts a WHERE a.study_id = n.study_id AND a.current)
        OR EXISTS (SELECT FROM trials t WHERE t.study_id = n.study_id AND t.state = 'WAITING'))
    ORDER BY coalesce((n.spec ->> 'priority')::integer, 0) DESC, n.created, study_id
    """
)
_CLOSE = text(
    f"""
    WITH closed AS (UPDATE hpo.plans SET error = :error WHERE study_id = :study)
    UPDATE hpo.attempts SET ended = {UNTIL.format(attempt="attempts")}, outcome = 'released'
    WHERE study_id = :study AND current AND ended IS NULL
    """
)
_CONTINUE = text(
    "UPDATE hpo.plans SET spec = CAST(:spec AS json), budget = :budget, error = NULL, "
    "ended_by = CASE WHEN NOT :anew THEN ended_by END, ended_at = CASE WHEN NOT :anew THEN ended_at END "
    "WHERE study_id = :study"
)
_PLAN = text(
    "SELECT n.study_id, n.spec::text, n.made, n.fingerprint, n.created, n.models "
    "FROM hpo.plans n JOIN studies s USING (study_id) WHERE s.study_name = :name OR s.study_id = :id"
)


def plan_of(connection: Connection, study: str | int) -> Plan:
    """The study of this name or study_id as this transaction sees it; raises StudyError where there is none."""
    plan = find(connection, study)
    if plan is None and isinstance(study, str):
        raise no_study(study, connection.scalars(text("SELECT study_name FROM studies")))
    if plan is None:
        raise StudyError(_DELETED)
    return plan


def find(connection: Connection, study: str | int) -> Plan | None:
    """The study of this name or study_id as this transaction sees it; None where there is none."""
    by = {"name": None, "id": study} if isinstance(study, int) else {"name": study, "id": None}
    found = connection.execute(_PLAN, by).one_or_none()
    if found is None:
        return None
    return Plan(found.study_id, _spec(found.spec), found.made, found.fingerprint, found.created, found.models)


@lru_cache(maxsize=8)
def _spec(kept: str) -> StudySpec:
    """A study as it was kept: thousands of points are read once a process, and not at each claim."""
    return StudySpec.from_dict(json.loads(kept))


def _queue(connection: Connection, study_id: int, points: Sequence[Mapping[str, Any]]) -> None:
    for point in points:
        rows.insert_trial(connection, study_id, "WAITING", point)


def _as_before(changes: Sequence[str]) -> str:
    """How to go on with the study as it was made, where it was by settings that a command line can give."""
    settings = [change.partition(": ") for change in changes if change.startswith("objective.")]
    if len(settings) < len(changes):
        return ""
    olds = (f"{key.removeprefix('objective.')}={told.partition(' -> ')[0]}" for key, _, told in settings)
    return f"; to go on with it as it was made: {' '.join(f'--set {shlex.quote(old)}' for old in olds)}"


def _extended(plan: Plan, spec: StudySpec, more: int) -> StudySpec:
    """The spec with a budget that gives `more` trials, even where an earlier launch had lowered it."""
    return changed(spec, [f"trials={max(plan.spec.trials, plan.made) + more}"])


def _check_same(old: Plan, new: StudySpec, fingerprint: str | None, models: Mapping[str, str]) -> None:
    changes = differences(old.spec, new)
    if old.fingerprint != fingerprint:
        changes.append("the rows: the files have changed since it was made")
    others = (name for name, known in old.models.items() if _is_another(known, models.get(name, known)))
    changes += [f"model.name: the files of {name} have changed since it was made" for name in others]
    if changes:
        raise StudyError(
            f"{new.study}: the study in the database is another one:\n"
            + "\n".join(f"  {change}" for change in changes)
            + f"\nstart a new one with --as {new.study}-2, or remove the old one: hpo delete --study {new.study}"
            + _as_before(changes)
        )


def _is_another(known: str, found: str) -> bool:
    """Whether a model is not the one that a study was made with; of the hub's, trials take the commit of then."""
    return known != found and not (known.startswith("hub:") and found.startswith("hub:"))
