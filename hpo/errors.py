"""The errors a person can act on; anything else is a bug of ours and shows its traceback."""

from __future__ import annotations


class HpoError(Exception):
    """One line for the person who must act: where, what was seen, what would be right."""


class SpecError(HpoError):
    """A study file or an override is wrong; the message names file, key path and value."""


class DatabaseError(HpoError):
    """The database cannot be reached, used or upgraded."""


class StudyError(HpoError):
    """A study does not exist, or what is asked does not fit what it already is."""
