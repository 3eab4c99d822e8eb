"""What a person can mend in a trial's settings or data."""

from __future__ import annotations

import re

_LOGIN = re.compile(r"(?<=://)[^/\s]+@")
_QUERY = re.compile(r"(://[^\s?]+)\?\S+")


def without_login(text: str) -> str:
    """A text whose URLs have neither user nor password in them, nor a query, which may hold a key."""
    return _QUERY.sub(r"\1", _LOGIN.sub("", text))


class ObjectiveError(Exception):
    """One line for the person who must act: where, what was seen, what would be right."""


class DataError(ObjectiveError):
    """The rows cannot be used as the settings say. `key` is the setting to look at, as `data.label`."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key


class ChangedError(ObjectiveError):
    """The rows are no longer those that the study was made with; no trial is to blame."""


class InfeasibleError(ObjectiveError):
    """These settings cannot be trained with on this machine, however often it is tried; others can."""


class OutOfMemoryError(InfeasibleError):
    """The device's memory does not suffice for a step."""


class ModelError(ObjectiveError):
    """The model cannot be loaded, or nothing in it is left to learn."""


class CodeError(ObjectiveError):
    """A function that a study names cannot be run."""


class SnapshotError(OSError):
    """A trial's state cannot be copied; as with a disk that is full, this costs the checkpoint and not the trial."""
