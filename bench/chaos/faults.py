"""What can go wrong, each done for real: signals, a database that goes, locks that hold up beats, a full disk."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg2

from bench.chaos import processes
from bench.chaos.place import BEAT, GRACE, Place, is_small


@dataclass(frozen=True)
class Scene:
    """Where a fault strikes, and what chance it takes; `lasting` are the threads that end what goes on for a while."""

    place: Place
    chance: random.Random
    lasting: list[threading.Thread]

    def later(self, seconds: float, undo: Callable[[], object]) -> None:
        """Undo something after a while."""
        thread = threading.Timer(seconds, undo)
        thread.start()
        self.lasting.append(thread)


Fault = Callable[[Scene], bool]
"""Do it; False where there is nobody to do it to."""


def _signal(number: signal.Signals, which: Callable[[Scene], list[int]]) -> Fault:
    def strike(scene: Scene) -> bool:
        found = which(scene)
        return bool(found) and processes.send(scene.chance.choice(found), number)

    return strike


def _workers(scene: Scene) -> list[int]:
    return processes.workers(scene.place.root)


def _launchers(scene: Scene) -> list[int]:
    return processes.launchers(scene.place.root)


def _server(scene: Scene) -> list[int]:
    found = processes.postmaster(scene.place.config.home)
    return [found] if found else []


def _frozen(shortest: float, longest: float) -> Fault:
    """A worker stands still for a while, its process and its connections with it."""

    def strike(scene: Scene) -> bool:
        found = _workers(scene)
        if not found:
            return False
        pid = scene.chance.choice(found)
        struck = processes.send(pid, signal.SIGSTOP)
        scene.later(scene.chance.uniform(shortest, longest), lambda: processes.send(pid, signal.SIGCONT))
        return struck

    return strike


def _delayed(scene: Scene) -> bool:
    """Nobody can write attempts for a while: beats, claims and reports wait."""
    seconds = scene.chance.uniform(2 * BEAT, 1.5 * GRACE)

    def hold() -> None:
        with suppress(psycopg2.Error):
            scene.place.rows("BEGIN; LOCK TABLE hpo.attempts IN EXCLUSIVE MODE; SELECT pg_sleep(%s); COMMIT", seconds)

    scene.later(0, hold)
    return True


def _full(scene: Scene) -> bool:
    """The disk of checkpoints is full for a while."""
    if not is_small(scene.place.disk):
        return False
    ballast = scene.place.disk / "ballast"
    with suppress(OSError), ballast.open("wb") as stream:
        while True:
            stream.write(b"\0" * 2**16)
    scene.later(scene.chance.uniform(2.0, 6.0), lambda: ballast.unlink(missing_ok=True))
    return True


def _killed(pids: list[int]) -> bool:
    return sum(processes.send(pid, signal.SIGKILL) for pid in pids) > 0


def _blackout(scene: Scene) -> bool:
    return _killed(processes.everything(scene.place.root, scene.place.config.home))


def _crowd(scene: Scene) -> bool:
    return _killed(_workers(scene))


FAULTS: dict[str, tuple[int, Fault]] = {
    "worker killed (SIGKILL)": (6, _signal(signal.SIGKILL, _workers)),
    "worker asked to stop (SIGTERM)": (2, _signal(signal.SIGTERM, _workers)),
    "worker frozen for less than its grace (SIGSTOP, SIGCONT)": (2, _frozen(BEAT, GRACE / 2)),
    "worker frozen past its grace (SIGSTOP, SIGCONT)": (3, _frozen(1.2 * GRACE, 2 * GRACE)),
    "all workers killed at once": (1, _crowd),
    "launcher killed (SIGKILL)": (2, _signal(signal.SIGKILL, _launchers)),
    "launcher asked to stop (SIGTERM)": (2, _signal(signal.SIGTERM, _launchers)),
    "launcher interrupted (Ctrl-C)": (1, _signal(signal.SIGINT, _launchers)),
    "PostgreSQL stopped immediate (SIGQUIT)": (2, _signal(signal.SIGQUIT, _server)),
    "PostgreSQL stopped fast (SIGINT)": (2, _signal(signal.SIGINT, _server)),
    "PostgreSQL killed (SIGKILL)": (1, _signal(signal.SIGKILL, _server)),
    "beats, claims and reports held up": (2, _delayed),
    "disk of checkpoints full (ENOSPC)": (3, _full),
    "everything killed at once, the server too": (1, _blackout),
}
"""Each fault with how often it is chosen beside the others."""


def choose(chance: random.Random) -> str:
    """The next fault."""
    return chance.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()])[0]


def settle(scene: Scene) -> None:
    """Wait until nothing that lasts goes on."""
    for thread in scene.lasting:
        thread.join()
    scene.lasting.clear()
