"""The rules that end a study, judged within a claim: what has happened since the last one is added to running counts.

Only claims write the counts, under their lock, so that no report or finish waits for them; and only what is new is
read, so that a claim does not grow with the study.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, text

from hpo.lifetime import UNTIL
from hpo.rules import Stop
from hpo.spec import StudySpec


@dataclass(frozen=True)
class Tally:
    """Seconds of `work`, the `best` value of a complete trial, and how many trials were complete or pruned `since`."""

    work: float
    best: float | None
    since: int

    def with_trial(self, value: float | None, sign: int) -> Tally:
        """One trial more; `value` is None where it was pruned, and the lower times `sign` the better."""
        if value is not None and (self.best is None or sign * value < sign * self.best):
            return replace(self, best=value, since=0)
        return replace(self, since=self.since + 1)


# An attempt that is not current is over for good, as its outcome is.
_NEW = text(
    """
    WITH new AS (
        UPDATE hpo.attempts SET counted = true WHERE study_id = :study AND NOT counted AND NOT current
        RETURNING trial_id, outcome, ended, extract(epoch FROM ended - started)::double precision AS seconds)
    SELECT n.outcome, n.seconds, v.value FROM new n
    LEFT JOIN trial_values v ON v.trial_id = n.trial_id AND v.objective = 0 AND n.outcome = 'complete'
    ORDER BY n.ended, n.trial_id
    """
)
_COUNTS = text("SELECT worked, best, since, spec -> 'stop' AS stop FROM hpo.plans WHERE study_id = :study")
_KEEP = text("UPDATE hpo.plans SET worked = :work, best = :best, since = :since WHERE study_id = :study")
_OPEN = text(
    f"SELECT coalesce(sum(extract(epoch FROM {UNTIL.format(attempt='a')} - started)), 0)::double precision "
    "FROM hpo.attempts a WHERE study_id = :study AND current"
)
_END = text(
    "UPDATE hpo.plans SET ended_by = :why, ended_at = clock_timestamp() WHERE study_id = :study AND ended_by IS NULL"
)


def ends(connection: Connection, study_id: int, spec: StudySpec) -> bool:
    """Whether a rule holds, which is kept with the study; the transaction, and the lock of claims, are the caller's.

    The spec was read before the lock was there: a launch may have changed the rules since.
    """
    if not spec.stop.counted:
        return False
    kept = connection.execute(_COUNTS, {"study": study_id}).one()
    spec = replace(spec, stop=Stop(**kept.stop))
    tally = _count(connection, study_id, spec, Tally(kept.worked, kept.best, kept.since))
    why = next(_holding(tally, spec), None)
    if why is None:
        return False
    end(connection, study_id, why)
    return True


def end(connection: Connection, study_id: int, why: str) -> None:
    """Keep which rule ended a study; the first one stays. The lock of claims is the caller's."""
    connection.execute(_END, {"study": study_id, "why": why})


def _count(connection: Connection, study_id: int, spec: StudySpec, found: Tally) -> Tally:
    """What was counted and what is new, the new of attempts that are over being kept."""
    which = {"study": study_id}
    sign = 1 if spec.direction == "minimize" else -1
    new = connection.execute(_NEW, which).all()
    for one in new:
        found = replace(found, work=found.work + one.seconds)
        if one.outcome in ("complete", "pruned"):
            found = found.with_trial(one.value, sign)
    if new:
        connection.execute(_KEEP, {**which, "work": found.work, "best": found.best, "since": found.since})
    return replace(found, work=found.work + (connection.scalar(_OPEN, which) or 0.0))


def _holding(tally: Tally, spec: StudySpec) -> Iterator[str]:
    """What holds, a sentence each: which rule, and what was seen."""
    stop, hours, best = spec.stop, tally.work / 3600, tally.best
    sign = 1 if spec.direction == "minimize" else -1
    if stop.target is not None and best is not None and sign * best <= sign * stop.target:
        yield f"stop.target {stop.target:g}: {spec.metric} {best:.5g} was reached"
    if stop.no_improvement is not None and best is not None and tally.since >= stop.no_improvement:
        yield f"stop.no_improvement {stop.no_improvement}: {tally.since} trials ended since the best one"
    if stop.hours is not None and hours >= stop.hours:
        yield f"stop.hours {stop.hours:g}: {hours:.3g} hours of work were spent"
