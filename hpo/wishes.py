"""What people ask of studies and trials, as the database keeps it: which verb, by whom, when, and whether it stands."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sqlalchemy import Connection, text

Verb = Literal["pause", "resume", "stop", "cancel", "requeue"]

HOLDS_TRIAL = "EXISTS (SELECT FROM hpo.wishes w WHERE w.trial_id = {trial} AND w.stands)"
"""In SQL, whether somebody paused this one trial."""

HOLDS = (
    "EXISTS (SELECT FROM hpo.wishes w WHERE w.study_id = {attempt}.study_id AND w.stands "
    "AND (w.trial_id IS NULL OR w.trial_id = {attempt}.trial_id))"
)
"""In SQL, whether the trial of an attempt is to be given back: it is paused, or its study is paused or stopped."""


class Standing(NamedTuple):
    """A pause or stop that nobody has undone."""

    verb: Verb
    who: str


_OF = "study_id = :study AND trial_id IS NOT DISTINCT FROM CAST(:trial AS integer)"
_RECORD = text(
    "INSERT INTO hpo.wishes (study_id, trial_id, verb, who, stands) VALUES (:study, :trial, :verb, :who, :stands)"
)
_STANDING = text(f"SELECT verb, who FROM hpo.wishes WHERE {_OF} AND stands")
_LIFT = text(f"UPDATE hpo.wishes SET stands = false WHERE {_OF} AND stands")


def record(connection: Connection, study_id: int, trial_id: int | None, verb: Verb, who: str) -> None:
    """Keep a wish of a study, or of one of its trials; it takes the place of one that stands.

    The study's claim lock is the caller's. A pause and a stop stand until another wish.
    """
    connection.execute(_LIFT, {"study": study_id, "trial": trial_id})
    stands = verb in ("pause", "stop")
    wish = {"study": study_id, "trial": trial_id, "verb": verb, "who": who, "stands": stands}
    connection.execute(_RECORD, wish)


def standing(connection: Connection, study_id: int, trial_id: int | None = None) -> Standing | None:
    """The pause or stop that holds a study, or one of its trials; None where nothing does."""
    found = connection.execute(_STANDING, {"study": study_id, "trial": trial_id}).one_or_none()
    return Standing(found.verb, found.who) if found else None
