"""A claim: one transaction that gives a worker the next trial, or says that there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, text

from hpo import rows, space
from hpo.errors import StudyError
from hpo.spec import StudySpec

CLAIM_LOCK = 0x68706F01
SUGGEST_LOCK = 0x68706F02


@dataclass(frozen=True)
class Worker:
    """Who claims. `grace` is how many seconds without a beat mean that it is dead."""

    name: str
    host: str
    pid: int
    grace: float = 60.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A trial in the hands of one worker.

    `last_step` is the last evaluation with a recorded verdict, `reported_step` the last one that Optuna holds; `pruned`
    says that the verdict was already to prune.
    """

    study_id: int
    trial_id: int
    number: int
    attempt: int
    last_step: int = 0
    reported_step: int = 0
    pruned: bool = False


class Nothing(Enum):
    """Why there is no trial to claim."""

    WAIT = "others are still running trials that may come back"
    DONE = "the study is complete"


def claim(connection: Connection, study_id: int, spec: StudySpec, worker: Worker) -> Claim | Nothing:
    """Give this worker a trial; the transaction is the caller's. Raises StudyError where the study has stopped."""
    lock(connection, CLAIM_LOCK, study_id)
    plan = connection.execute(
        text("SELECT budget, made, error FROM hpo.plans WHERE study_id = :study"), {"study": study_id}
    )
    budget, made, error = plan.one()
    if error:
        raise StudyError(error)
    adopted = _adopt(connection, study_id, spec, worker)
    if adopted:
        return adopted
    trial_id = rows.start_waiting_trial(connection, study_id)
    if trial_id is None and made < budget:
        trial_id = _make(connection, study_id, spec, made)
    if trial_id is not None:
        return _attempt(connection, study_id, trial_id, worker)
    unfinished = connection.scalar(
        text("SELECT EXISTS (SELECT FROM hpo.attempts WHERE study_id = :study AND current)"), {"study": study_id}
    )
    return Nothing.WAIT if unfinished else Nothing.DONE


def lock(connection: Connection, key: int, study_id: int) -> None:
    """Wait for a study's lock; it goes with the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key, :study)"), {"key": key, "study": study_id})


def _make(connection: Connection, study_id: int, spec: StudySpec, made: int) -> int | None:
    """A new row of the budget: the next grid point, the defaults, or one that the sampler will fill."""
    point, params = None, None
    if spec.sampler.kind == "grid":
        point = connection.scalar(
            text("SELECT count(*) FROM hpo.points WHERE study_id = :study AND try = 1"), {"study": study_id}
        )
        grid = space.grid(spec.search)
        if point >= len(grid):
            return None
        params = grid[point]
    elif made == 0:
        params = spec.defaults
    trial_id = rows.insert_trial(connection, study_id, "RUNNING", params)
    if point is not None:
        connection.execute(
            text("INSERT INTO hpo.points (study_id, point, trial_id) VALUES (:study, :point, :trial)"),
            {"study": study_id, "point": point, "trial": trial_id},
        )
    connection.execute(text("UPDATE hpo.plans SET made = made + 1 WHERE study_id = :study"), {"study": study_id})
    return trial_id


_OPEN = text(
    """
    SELECT a.trial_id, a.attempt, a.ended, t.state::text AS state
    FROM hpo.attempts a JOIN trials t USING (trial_id)
    WHERE a.study_id = :study AND a.current
      AND (a.ended IS NOT NULL OR a.beat < clock_timestamp() - a.grace OR t.state <> 'RUNNING' OR a.worker = :worker)
    ORDER BY t.number FOR UPDATE OF a SKIP LOCKED
    """
)


def _adopt(connection: Connection, study_id: int, spec: StudySpec, worker: Worker) -> Claim | None:
    """The first trial whose attempt is over and that may go on; the others' books are put in order on the way.

    A worker runs one trial at a time: a current attempt in its own name is one whose commit it never saw.
    """
    for found in connection.execute(_OPEN, {"study": study_id, "worker": worker.name}).all():
        if found.state != "RUNNING":
            _settle(connection, found)
            continue
        if found.ended is None:
            end(connection, found.trial_id, found.attempt, "died", "no beat within the grace period")
        deaths = deaths_in_a_row(connection, found.trial_id)
        if deaths >= spec.max_attempts:
            _give_up(connection, found, deaths)
            continue
        return _attempt(connection, study_id, found.trial_id, worker, after=found.attempt)
    return None


def _attempt(connection: Connection, study_id: int, trial_id: int, worker: Worker, after: int = 0) -> Claim:
    """Write the attempt that makes the trial this worker's; what an earlier one left half-done is undone."""
    connection.execute(
        text("UPDATE hpo.attempts SET current = false WHERE trial_id = :trial AND current"), {"trial": trial_id}
    )
    connection.execute(
        text(
            "INSERT INTO hpo.attempts (trial_id, attempt, study_id, worker, host, pid, grace, facts) VALUES "
            "(:trial, :attempt, :study, :worker, :host, :pid, make_interval(secs => :grace), CAST(:facts AS jsonb))"
        ),
        {
            "trial": trial_id,
            "attempt": after + 1,
            "study": study_id,
            "worker": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "grace": worker.grace,
            "facts": json.dumps(worker.facts),
        },
    )
    return _position(connection, Claim(study_id, trial_id, 0, after + 1))


def _position(connection: Connection, made: Claim) -> Claim:
    """The claim with the trial's number and how far it came; rungs without a recorded verdict are forgotten."""
    where = connection.execute(
        text(
            "SELECT t.number, coalesce(m.step, 0) AS step, coalesce(m.prune, false) AS prune, coalesce(m.rungs, 0) AS rungs, "
            "(SELECT coalesce(max(step), 0) FROM trial_intermediate_values v WHERE v.trial_id = t.trial_id) AS reported "
            "FROM trials t LEFT JOIN LATERAL (SELECT * FROM hpo.metrics WHERE trial_id = t.trial_id "
            "ORDER BY step DESC LIMIT 1) m ON true WHERE t.trial_id = :trial"
        ),
        {"trial": made.trial_id},
    ).one()
    if made.attempt > 1:
        rows.drop_rungs(connection, made.trial_id, where.rungs)
    return Claim(
        made.study_id, made.trial_id, where.number, made.attempt, where.step, where.reported, pruned=where.prune
    )


def end(
    connection: Connection,
    trial_id: int,
    attempt: int,
    outcome: str,
    error: str | None = None,
    place: str | None = None,
) -> None:
    """Close an attempt; a trial that is finished has no current one."""
    connection.execute(
        text(
            "UPDATE hpo.attempts SET ended = clock_timestamp(), outcome = :outcome, error = :error, place = :place, "
            "current = :outcome IN ('released', 'died') WHERE trial_id = :trial AND attempt = :attempt AND ended IS NULL"
        ),
        {"trial": trial_id, "attempt": attempt, "outcome": outcome, "error": error, "place": place},
    )


def deaths_in_a_row(connection: Connection, trial_id: int) -> int:
    """How many of the newest attempts died without a new evaluation; released ones do not count."""
    history = connection.execute(
        text(
            "SELECT outcome, EXISTS (SELECT FROM hpo.metrics m WHERE m.trial_id = a.trial_id AND m.attempt = a.attempt) "
            "AS moved FROM hpo.attempts a WHERE trial_id = :trial AND outcome <> 'released' ORDER BY attempt DESC"
        ),
        {"trial": trial_id},
    ).all()
    deaths = 0
    for outcome, moved in history:
        if outcome != "died" or moved:
            break
        deaths += 1
    return deaths


def _give_up(connection: Connection, found: Row[Any], deaths: int) -> None:
    rows.fail_trial(connection, found.trial_id)
    connection.execute(
        text(
            "UPDATE hpo.attempts SET current = false, outcome = 'fail', error = :error "
            "WHERE trial_id = :trial AND attempt = :attempt"
        ),
        {
            "trial": found.trial_id,
            "attempt": found.attempt,
            "error": f"its worker died {deaths} times in a row without a new evaluation; see hpo logs",
        },
    )


def _settle(connection: Connection, found: Row[Any]) -> None:
    """The trial finished, but its attempt did not hear of it: killed in between, or told by a foreign client."""
    outcome = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "fail"}.get(found.state)
    if outcome is not None:
        connection.execute(
            text(
                "UPDATE hpo.attempts SET current = false, ended = coalesce(ended, clock_timestamp()), outcome = :outcome "
                "WHERE trial_id = :trial AND attempt = :attempt"
            ),
            {"trial": found.trial_id, "attempt": found.attempt, "outcome": outcome},
        )


def beat(connection: Connection, claim: Claim) -> bool:
    """Mark life and lock the attempt's row; False where it is ended or another's."""
    alive = text(
        "UPDATE hpo.attempts SET beat = clock_timestamp() "
        "WHERE trial_id = :trial AND attempt = :attempt AND current AND ended IS NULL"
    )
    return bool(connection.execute(alive, {"trial": claim.trial_id, "attempt": claim.attempt}).rowcount)
