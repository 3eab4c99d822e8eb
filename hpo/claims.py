"""A claim: one transaction that gives a worker the next trial, or says that there is none."""

from __future__ import annotations

from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, text

from hpo import attempts, rows, stopping, wishes
from hpo.attempts import Claim, Ending, Worker
from hpo.errors import StudyError
from hpo.lifetime import ALIVE
from hpo.spec import StudySpec

CLAIM_LOCK = 0x68706F01
SUGGEST_LOCK = 0x68706F02


class Nothing(Enum):
    """Why there is no trial to claim."""

    WAIT = "others are still running trials that may come back"
    DONE = "the study is complete"
    PAUSED = "people paused the study, or all of its trials that are left"
    STOPPED = "people stopped the study"


def lock(connection: Connection, key: int, study_id: int) -> None:
    """Wait for a study's lock; it goes with the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key, :study)"), {"key": key, "study": study_id})


def try_lock(connection: Connection, key: int, study_id: int) -> bool:
    """Take a study's lock if nobody has it; it goes with the transaction."""
    taken = text("SELECT pg_try_advisory_xact_lock(:key, :study)")
    return bool(connection.scalar(taken, {"key": key, "study": study_id}))


_PLAN = text("SELECT budget, made, error, ended_by IS NOT NULL AS over FROM hpo.plans WHERE study_id = :study")


def claim(connection: Connection, study_id: int, spec: StudySpec, worker: Worker) -> Claim | Nothing:
    """Give this worker a trial; the transaction is the caller's. Raises StudyError where the study has stopped.

    First a trial that lost its worker, then one that people queued, then the next of the budget, unless a rule of the
    study has ended it.
    """
    lock(connection, CLAIM_LOCK, study_id)
    budget, made, error, over = connection.execute(_PLAN, {"study": study_id}).one()
    if error:
        raise StudyError(error)
    due = made < budget and not over
    standing = wishes.standing(connection, study_id)
    if standing is not None:
        unfinished = due or any(_left(connection, study_id))
        return _HELD[standing.verb] if unfinished else Nothing.DONE
    if adopted := _adopt(connection, study_id, spec, worker):
        return adopted
    trial_id = rows.start_waiting_trial(connection, study_id)
    if trial_id is None and due and not stopping.ends(connection, study_id, spec):
        trial_id = _make(connection, study_id, spec, made)
    if trial_id is not None:
        return attempts.begin(connection, study_id, trial_id, worker)
    free, paused = _left(connection, study_id)
    return Nothing.WAIT if free else Nothing.PAUSED if paused else Nothing.DONE


_HELD = {"pause": Nothing.PAUSED, "stop": Nothing.STOPPED}
_LEFT = text(
    f"""
    SELECT coalesce(bool_or(NOT held), false), coalesce(bool_or(held), false)
    FROM (SELECT trial_id FROM hpo.attempts a JOIN trials t USING (trial_id)
          WHERE a.study_id = :study AND current AND t.state = 'RUNNING'
          UNION SELECT trial_id FROM trials WHERE study_id = :study AND state = 'WAITING') t,
         LATERAL (SELECT {wishes.HOLDS_TRIAL.format(trial="t.trial_id")} AS held) h
    """
)


def _left(connection: Connection, study_id: int) -> tuple[bool, bool]:
    """Whether trials are unfinished that may run, and whether some are that people paused one by one."""
    free, paused = connection.execute(_LEFT, {"study": study_id}).one()
    return free, paused


_POINT = text("SELECT count(*) FROM hpo.points WHERE study_id = :study AND try = 1")
_TAKE = text("INSERT INTO hpo.points (study_id, point, trial_id) VALUES (:study, :point, :trial)")
_COUNT = text("UPDATE hpo.plans SET made = made + 1 WHERE study_id = :study")


def _make(connection: Connection, study_id: int, spec: StudySpec, made: int) -> int | None:
    """A new row of the budget: the next grid point, one that is known beforehand, or one that the sampler will fill."""
    if spec.sampler.kind == "grid":
        trial_id = _take_point(connection, study_id, spec)
    else:
        point = spec.opening[made] if made < len(spec.opening) else None
        trial_id = rows.insert_trial(connection, study_id, "RUNNING", point)
    if trial_id is not None:
        connection.execute(_COUNT, {"study": study_id})
    return trial_id


def _take_point(connection: Connection, study_id: int, spec: StudySpec) -> int | None:
    grid = spec.grid
    point = connection.scalar(_POINT, {"study": study_id}) or 0
    if point >= len(grid):
        return None
    trial_id = rows.insert_trial(connection, study_id, "RUNNING", grid[point])
    connection.execute(_TAKE, {"study": study_id, "point": point, "trial": trial_id})
    return trial_id


# While the server was away nobody could beat: who lives does so in the first seconds after its start.
_SILENT = (
    f"(NOT {ALIVE.format(attempt='a')} "
    "AND pg_postmaster_start_time() < clock_timestamp() - least(a.grace, interval '10 s'))"
)
# A worker runs one trial at a time: a current attempt in its own name is one whose commit it never saw.
_OPEN = text(
    f"""
    SELECT a.trial_id, a.attempt, a.ended, a.error, t.state::text AS state, a.worker = :worker AS own,
           a.beat < pg_postmaster_start_time() AS outage
    FROM hpo.attempts a JOIN trials t USING (trial_id)
    WHERE a.study_id = :study AND a.current
      AND (a.ended IS NOT NULL OR {_SILENT} OR t.state <> 'RUNNING' OR a.worker = :worker)
      AND (t.state <> 'RUNNING' OR NOT {wishes.HOLDS_TRIAL.format(trial="a.trial_id")})
    ORDER BY t.number FOR UPDATE OF a SKIP LOCKED
    """
)
_ENDINGS: dict[str, Ending] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "fail"}


def _adopt(connection: Connection, study_id: int, spec: StudySpec, worker: Worker) -> Claim | None:
    """The first trial whose attempt is over and that may go on; the books of others are put in order on the way."""
    for found in connection.execute(_OPEN, {"study": study_id, "worker": worker.name}).all():
        if found.state in _ENDINGS:  # killed before it heard, or finished by a foreign client
            attempts.correct(connection, found.trial_id, found.attempt, _ENDINGS[found.state])
        elif not _given_up(connection, found, spec.max_attempts):
            return attempts.begin(connection, study_id, found.trial_id, worker, after=found.attempt)
    return None


def _silenced(found: Row[Any]) -> tuple[Ending, str]:
    """How an attempt ended that was heard of no more; one that went with the whole machine did not kill its worker."""
    if found.outage:
        return "released", "no beat within the grace period, nor since the database was started"
    return "released" if found.own else "died", "no beat within the grace period"


_KILLED = (
    "The last was killed (SIGKILL), as a system does that runs out of memory: "
    "try fewer workers, a shorter data.max_length or a smaller training.batch_size"
)


def _given_up(connection: Connection, found: Row[Any], most: int) -> bool:
    """Close what the attempt left open; True where the trial killed too many workers and is failed."""
    if found.ended is None:
        attempts.end(connection, found.trial_id, found.attempt, *_silenced(found))
    deaths = attempts.deaths_in_a_row(connection, found.trial_id)
    if deaths < most:
        return False
    rows.fail_trial(connection, found.trial_id)
    error = f"its worker died {deaths} times in a row without a new evaluation; see hpo logs"
    if "SIGKILL" in (found.error or ""):  # so the launcher says that saw it
        error += f". {_KILLED}"
    attempts.correct(connection, found.trial_id, found.attempt, "fail", error)
    return True
