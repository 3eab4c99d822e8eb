"""The cores that workers may use, and each one's own share of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TOPOLOGY = Path("/sys/devices/system/cpu")


def count() -> int:
    """How many cores this process may keep busy: those it may run on, or fewer where a container has a quota."""
    return min(len(_allowed()), _quota(_QUOTA))


def threads(workers: int) -> int:
    """How many threads each of so many workers computes with, one at least."""
    return max(1, count() // workers)


def share(slot: int, workers: int, topology: Path = _TOPOLOGY) -> set[int] | None:
    """The cores of the worker in this slot alone, next to each other; None where there are not enough of them.

    None, too, under a quota of time, which belongs to no core, and for a single worker.
    """
    allowed = _allowed()
    if not 1 < workers <= len(allowed) or count() < len(allowed):
        return None
    cores = sorted(allowed, key=lambda core: _place(topology, core))
    each = len(cores) // workers
    return set(cores[slot % workers * each :][:each])


def pin(pid: int, cores: set[int] | None) -> None:
    """Keep a process, and the threads that it is to start, on these cores; where the system will not, it stays free."""
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(pid, cores)


def _allowed() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _quota(file: Path) -> int:
    """Whole cores that the kernel's control group grants in time; more than any machine has where it sets no bound."""
    try:
        most, period = file.read_text().split()
        return max(1, math.floor(int(most) / int(period)))
    except (OSError, ValueError):  # no such group, or `max`
        return 1 << 30


def _place(topology: Path, core: int) -> tuple[int, int, int]:
    """Where a core is: two that share a socket, or are two threads of one core, come next to each other."""
    try:
        where = topology / f"cpu{core}" / "topology"
        return int((where / "physical_package_id").read_text()), int((where / "core_id").read_text()), core
    except (OSError, ValueError):
        return 0, core, core
