"""What the engines of this process ask of the database, and what it costs on both sides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from operator import add, sub
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, Pool, event


class Cost(NamedTuple):
    """`cpu`, `server` and `wall` in seconds; `server` is the CPU time of the server's processes that served us.

    `checkouts` counts connections taken from a pool: where a pool checks them first, each is one more SELECT.
    """

    cpu: float = 0.0
    server: float = 0.0
    wall: float = 0.0
    statements: float = 0
    transactions: float = 0
    checkouts: float = 0

    def plus(self, other: Cost) -> Cost:
        """The sum."""
        return Cost(*map(add, self, other))

    def minus(self, other: Cost) -> Cost:
        """The difference."""
        return Cost(*map(sub, self, other))


class Meter:
    """Counts for every engine of this process, from its making on."""

    def __init__(self) -> None:
        self._counts = {"statements": 0, "transactions": 0, "checkouts": 0}
        self._nanoseconds: dict[int, int] = {}
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "commit", self._transaction)
        event.listen(Engine, "rollback", self._transaction)
        event.listen(Pool, "checkout", self._checkout)

    def now(self) -> Cost:
        """What it came to so far."""
        return Cost(time.process_time(), self._served(), time.perf_counter(), **self._counts)

    def phases(self, trial: Iterator[str]) -> dict[str, Cost]:
        """What each phase of a trial costs; the trial yields a phase's name at its end."""
        found: dict[str, Cost] = {}
        before = self.now()
        for phase in trial:
            found[phase] = self.now().minus(before)
            before = self.now()
        return found

    def _statement(self, *_: Any) -> None:
        self._counts["statements"] += 1

    def _transaction(self, *_: Any) -> None:
        self._counts["transactions"] += 1

    def _checkout(self, connection: Any, *_: Any) -> None:
        self._counts["checkouts"] += 1
        self._nanoseconds.setdefault(connection.info.backend_pid, 0)

    def _served(self) -> float:
        """Nanoseconds on a CPU are the first number of Linux's schedstat; a process that ended keeps its last."""
        for pid in self._nanoseconds:
            with suppress(FileNotFoundError, ProcessLookupError):
                self._nanoseconds[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        return sum(self._nanoseconds.values()) / 1e9
