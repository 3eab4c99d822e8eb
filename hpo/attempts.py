"""The books of attempts: who holds a trial, since when, how it ended, and how far the trial came."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal

from sqlalchemy import Connection, text

from hpo import rows
from hpo.lifetime import UNTIL
from hpo.wishes import HOLDS

Ending = Literal["complete", "pruned", "fail", "cancelled", "released", "died"]
"""How an attempt ends; after the last two its trial goes on with another."""


@dataclass(frozen=True)
class Worker:
    """Who claims. What is in its `name` is its own, and nobody else's; `grace` is how many seconds without a beat mean
    that it is dead."""

    name: str
    host: str
    pid: int
    grace: float = 60.0
    facts: dict[str, Any] = field(default_factory=dict)


def process_name() -> str:
    """A name for a worker or a launch that no other process has: in containers host and process number may be those of
    one before it, or beside it."""
    return f"{socket.gethostname()}.{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Claim:
    """A trial in the hands of one worker.

    `last_step` is the last evaluation with a recorded verdict, `reported_step` the last one that Optuna holds; `pruned`
    says that the last verdict was to prune. `runtime` is how the first attempt with an evaluation on record computed.
    """

    study_id: int
    trial_id: int
    number: int
    attempt: int
    last_step: int = 0
    reported_step: int = 0
    pruned: bool = False
    runtime: Mapping[str, Any] = field(default_factory=dict)


_BEGIN = text(
    """
    INSERT INTO hpo.attempts (trial_id, attempt, study_id, worker, host, pid, grace, facts)
    VALUES (:trial, :attempt, :study, :worker, :host, :pid, make_interval(secs => :grace), CAST(:facts AS json))
    """
)


def begin(connection: Connection, study_id: int, trial_id: int, worker: Worker, after: int = 0) -> Claim:
    """Write the attempt that makes the trial this worker's; what an earlier one left half-done is undone."""
    earlier = text("UPDATE hpo.attempts SET current = false WHERE trial_id = :trial AND current")
    connection.execute(earlier, {"trial": trial_id})
    connection.execute(
        _BEGIN,
        {
            "trial": trial_id,
            "attempt": after + 1,
            "study": study_id,
            "worker": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "grace": worker.grace,
            "facts": rows.as_json(worker.facts),
        },
    )
    return position(connection, Claim(study_id, trial_id, -1, after + 1))


_POSITION = text(
    """
    SELECT t.number, coalesce(m.step, 0) AS last_step, coalesce(m.prune, false) AS pruned,
           coalesce(m.rungs, 0) AS rungs,
           (SELECT coalesce(max(step), 0) FROM trial_intermediate_values v WHERE v.trial_id = t.trial_id) AS reported,
           (SELECT facts -> 'runtime' FROM hpo.attempts a
            WHERE a.trial_id = t.trial_id AND facts -> 'runtime' IS NOT NULL ORDER BY attempt LIMIT 1) AS runtime
    FROM trials t
    LEFT JOIN LATERAL (SELECT * FROM hpo.metrics WHERE trial_id = t.trial_id ORDER BY step DESC LIMIT 1) m ON true
    WHERE t.trial_id = :trial
    """
)


def position(connection: Connection, claim: Claim) -> Claim:
    """The claim with the trial's number and how far it came.

    Rungs of successive halving that were completed without a recorded verdict are forgotten: a trial that was killed
    between the verdict and its record would otherwise pass them unseen.
    """
    found = connection.execute(_POSITION, {"trial": claim.trial_id}).one()
    rows.drop_rungs(connection, claim.trial_id, found.rungs)
    return replace(
        claim,
        number=found.number,
        last_step=found.last_step,
        reported_step=found.reported,
        pruned=found.pruned,
        runtime=found.runtime or {},
    )


@dataclass(frozen=True)
class Standing:
    """How a claim stands: whether it is `owned` by its worker still, and what people want of it.

    `held`: the trial is to be given back at its next evaluation. `cancelled`: who ended it, in a few words.
    """

    owned: bool = True
    held: bool = False
    cancelled: str | None = None


_COMPUTES = text(
    """
    UPDATE hpo.attempts SET facts = (facts::jsonb || jsonb_build_object('runtime', CAST(:runtime AS jsonb)))::json
    WHERE trial_id = :trial AND attempt = :attempt
    """
)


def computes(connection: Connection, claim: Claim, runtime: Mapping[str, Any]) -> None:
    """Keep how an attempt computes, in the transaction of the first evaluation that it records so."""
    values = {"trial": claim.trial_id, "attempt": claim.attempt, "runtime": rows.as_json(runtime)}
    connection.execute(_COMPUTES, values)


_BEAT = text(
    f"""
    UPDATE hpo.attempts a SET beat = clock_timestamp()
    WHERE trial_id = :trial AND attempt = :attempt AND current AND ended IS NULL
    RETURNING {HOLDS.format(attempt="a")} AS held
    """
)
_CANCELLED = text(
    "SELECT error FROM hpo.attempts WHERE trial_id = :trial AND attempt = :attempt AND outcome = 'cancelled'"
)


def beat(connection: Connection, claim: Claim) -> Standing:
    """Mark life, lock the attempt's row and say what is wanted of it; not `owned` where it is ended or another's."""
    which = {"trial": claim.trial_id, "attempt": claim.attempt}
    found = connection.execute(_BEAT, which).one_or_none()
    if found is None:
        return Standing(owned=False, cancelled=connection.scalar(_CANCELLED, which))
    return Standing(held=found.held)


_EXPLAIN = text("UPDATE hpo.attempts SET error = :error, place = :place WHERE trial_id = :trial AND attempt = :attempt")


def explain(connection: Connection, claim: Claim, error: str | None, place: str | None) -> None:
    """Say why an attempt is about to end."""
    values = {"trial": claim.trial_id, "attempt": claim.attempt, "error": error, "place": place}
    connection.execute(_EXPLAIN, values)


_END = text(
    f"""
    UPDATE hpo.attempts
    SET ended = {UNTIL.format(attempt="attempts")}, outcome = :ending, error = :error, place = :place,
        current = :ending IN ('released', 'died')
    WHERE trial_id = :trial AND attempt = :attempt AND ended IS NULL
    """
)


def end(
    connection: Connection,
    trial_id: int,
    attempt: int,
    ending: Ending,
    error: str | None = None,
    place: str | None = None,
) -> None:
    """Close an open attempt, at its last beat where it was heard of no more; a finished trial has no current one."""
    connection.execute(_END, {"trial": trial_id, "attempt": attempt, "ending": ending, "error": error, "place": place})


_CORRECT = text(
    f"""
    UPDATE hpo.attempts
    SET current = false, ended = {UNTIL.format(attempt="attempts")}, outcome = :ending, error = coalesce(:error, error)
    WHERE trial_id = :trial AND attempt = :attempt
    """
)


def correct(connection: Connection, trial_id: int, attempt: int, ending: Ending, error: str | None = None) -> None:
    """Close an attempt for good whose trial turned out to be finished."""
    connection.execute(_CORRECT, {"trial": trial_id, "attempt": attempt, "ending": ending, "error": error})


_HISTORY = text(
    """
    SELECT outcome = 'died'
           AND NOT EXISTS (SELECT FROM hpo.metrics m WHERE m.trial_id = a.trial_id AND m.attempt = a.attempt) AS in_vain
    FROM hpo.attempts a WHERE trial_id = :trial AND outcome <> 'released' ORDER BY attempt DESC
    """
)


def deaths_in_a_row(connection: Connection, trial_id: int) -> int:
    """How many of the newest attempts died without a new evaluation; released ones do not count."""
    history = connection.scalars(_HISTORY, {"trial": trial_id})
    return sum(1 for _ in takewhile(bool, history))
