"""What is said to the database about studies and attempts: verbs of the domain, one transaction each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
from sqlalchemy import Connection, text

from hpo import attempts, claims, rows, schema
from hpo.attempts import Claim, Ending, Worker
from hpo.claims import Nothing
from hpo.config import Config
from hpo.database import DRIVER, Database, connect
from hpo.errors import StudyError
from hpo.spec import StudySpec, differences

_CREATE_LOCK = 0x68706F03

optuna.logging.set_verbosity(optuna.logging.WARNING)  # its chatter of studies and trials is ours to tell


@dataclass(frozen=True)
class Plan:
    """A study as the database holds it; `fingerprint` is of the rows that it was made with, None where it has none."""

    study_id: int
    spec: StudySpec
    made: int = 0
    fingerprint: str | None = None


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
    """Studies, claims and attempts, over one connection."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = database.engine()

    def close(self) -> None:
        """Give the connection back."""
        self.engine.dispose()

    def create(self, spec: StudySpec, fingerprint: str | None = None) -> Plan:
        """The study of this name: made now, or continued with the new budget, pruner and queue.

        Raises StudyError where what is searched, how, or the rows differ from the study that is there.
        """
        with self.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATE_LOCK})
            plan = _plan(connection, spec.study)
            if plan is None:
                return self._create(connection, spec, fingerprint)
            _check_same(plan, spec, fingerprint)
            _queue(connection, plan.study_id, [point for point in spec.enqueue if point not in plan.spec.enqueue])
            connection.execute(
                _CONTINUE,
                {"spec": json.dumps(spec.to_dict()), "budget": spec.trials, "study": plan.study_id},
            )
            return replace(plan, spec=spec)

    def _create(self, connection: Connection, spec: StudySpec, fingerprint: str | None) -> Plan:
        """Optuna's study first, by its public API on a connection of its own; if we die in between, the next call
        finds it without trials and goes on."""
        storage = self.optuna_storage()
        try:
            study = optuna.create_study(
                storage=storage, study_name=spec.study, direction=spec.direction, load_if_exists=True
            )
        finally:
            storage.remove_session()
            storage.engine.dispose()
        study_id = connection.scalar(
            text("SELECT study_id FROM studies WHERE study_name = :name"), {"name": study.study_name}
        )
        foreign = text("SELECT EXISTS (SELECT FROM trials WHERE study_id = :study)")
        if connection.scalar(foreign, {"study": study_id}):
            raise StudyError(f"{spec.study}: another program made a study of this name; choose another with --as NAME")
        connection.execute(
            text(
                "INSERT INTO hpo.plans (study_id, spec, budget, fingerprint) "
                "VALUES (:study, CAST(:spec AS json), :budget, :fingerprint)"
            ),
            {
                "study": study_id,
                "spec": json.dumps(spec.to_dict()),
                "budget": spec.trials,
                "fingerprint": fingerprint,
            },
        )
        _queue(connection, study_id, spec.enqueue)
        return Plan(study_id, spec, fingerprint=fingerprint)

    def plan(self, study: str) -> Plan:
        """The study of this name; raises StudyError where there is none."""
        with self.engine.begin() as connection:
            plan = _plan(connection, study)
        if plan is None:
            raise StudyError(f"{study}: no such study in the database; hpo studies lists them, hpo launch makes one")
        return plan

    def enqueue(self, study: str, points: Sequence[Mapping[str, Any]]) -> None:
        """Queue a person's own points, on top of the budget."""
        plan = self.plan(study)
        with self.engine.begin() as connection:
            claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
            _queue(connection, plan.study_id, points)

    def claim(self, study: str, worker: Worker) -> tuple[StudySpec, Claim | Nothing]:
        """The next trial for this worker, with the study as it is now."""
        with self.engine.begin() as connection:
            plan = _plan(connection, study)
            if plan is None:
                raise StudyError(f"{study}: the study was deleted")
            return plan.spec, claims.claim(connection, plan.study_id, plan.spec, worker)

    def position(self, claim: Claim) -> Claim:
        """How far the trial of this claim came, as the database has it; what was left half-done is undone."""
        with self.engine.begin() as connection:
            return attempts.position(connection, claim)

    def beat(self, claim: Claim) -> bool:
        """Mark life; False where the attempt is this worker's no more."""
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
        """Remove a study and all that belongs to it."""
        self.plan(study)
        storage = self.optuna_storage()
        try:
            optuna.delete_study(study_name=study, storage=storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def optuna_storage(self) -> optuna.storages.RDBStorage:
        """Optuna's storage with one connection of its own; the tables are known to be right."""
        return optuna.storages.RDBStorage(
            f"{DRIVER}://",
            engine_kwargs=self.database.engine_options(),
            skip_compatibility_check=True,
            skip_table_creation=True,
        )


_CONTINUE = text(
    "UPDATE hpo.plans SET spec = CAST(:spec AS json), budget = :budget, error = NULL WHERE study_id = :study"
)
_PLAN = text(
    "SELECT n.study_id, n.spec, n.made, n.fingerprint FROM hpo.plans n JOIN studies s USING (study_id) "
    "WHERE s.study_name = :name"
)


def _plan(connection: Connection, study: str) -> Plan | None:
    found = connection.execute(_PLAN, {"name": study}).one_or_none()
    if found is None:
        return None
    return Plan(found.study_id, StudySpec.from_dict(found.spec), found.made, found.fingerprint)


def _queue(connection: Connection, study_id: int, points: Sequence[Mapping[str, Any]]) -> None:
    for point in points:
        rows.insert_trial(connection, study_id, "WAITING", point)


def _check_same(old: Plan, new: StudySpec, fingerprint: str | None) -> None:
    changes = differences(old.spec, new)
    if old.fingerprint != fingerprint:
        changes.append("the rows: the files have changed since it was made")
    if changes:
        raise StudyError(
            f"{new.study}: the study in the database is another one:\n"
            + "\n".join(f"  {change}" for change in changes)
            + f"\nstart a new one with --as {new.study}-2, or remove the old one: hpo delete --study {new.study}"
        )
