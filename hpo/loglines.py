"""The lines of workers' logs: written with the trial they are about, and found again by it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

READY = "ready for trials"
"""What a worker says once it has the rows and models of its study."""
_ENTRY = re.compile(r"\d{4}-\d\d-\d\dT\S+ trial=(?P<trial>\S+) ")
_current: list[str] = ["-"]


@contextmanager
def tagged(number: int) -> Iterator[None]:
    """Name the trial in every log line of the block, so that `hpo logs --trial` finds them."""
    _current[0] = str(number)
    try:
        yield
    finally:
        _current[0] = "-"


class Lines(logging.Formatter):
    """A line begins with its time, by this machine's clock, and its trial."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, with more of them where it carries an error."""
        when = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        return f"{when} trial={_current[0]} {record.levelname.lower()} {super().format(record)}"


def gained(folder: Path, positions: dict[Path, int], trial: int | None) -> list[str]:
    """The entries that the files of a folder gained since `positions`, which move on, in order of time.

    A line without a time belongs to the entry before it. With `trial`, the entries about this one alone.
    """
    found: list[str] = []
    for file in folder.glob("*.log"):
        with file.open("rb") as opened:
            opened.seek(positions.get(file, 0))
            text = opened.read()
        whole = text[: text.rfind(b"\n") + 1]
        positions[file] = positions.get(file, 0) + len(whole)
        found += (entry for entry in _entries(whole.decode("utf-8", "replace")) if _is_of(entry, trial))
    return sorted(found, key=lambda entry: entry.partition(" ")[0])


def _entries(text: str) -> Iterator[str]:
    entry: list[str] = []
    for line in text.splitlines():
        if _ENTRY.match(line) and entry:
            yield "\n".join(entry)
            entry.clear()
        entry.append(line)
    if entry:
        yield "\n".join(entry)


def _is_of(entry: str, trial: int | None) -> bool:
    found = _ENTRY.match(entry)
    return trial is None or (found is not None and found["trial"] == str(trial))
