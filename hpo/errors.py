"""The errors a person can act on; anything else is a bug of ours and shows its traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HpoError(Exception):
    """One line for the person who must act: where, what was seen, what would be right."""


class SpecError(HpoError):
    """A study file or an override is wrong; the message names file, key path and value."""


class DatabaseError(HpoError):
    """The database cannot be reached, used or upgraded."""


class StudyError(HpoError):
    """A study does not exist, or what is asked does not fit what it already is."""


def no_study(name: str, known: Iterable[str]) -> StudyError:
    """That the database holds no study of this name, with the nearest one that it holds."""
    near = get_close_matches(name, list(known), n=1)
    advice = f"did you mean {near[0]}?" if near else "hpo studies lists them, hpo launch makes one"
    return StudyError(f"{name}: no such study in the database; {advice}")
