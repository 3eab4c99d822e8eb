"""The processes of a place: launchers, workers, the server's; found by the place's path, wherever they came from."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from hpo import postgres


def launchers(root: Path) -> list[int]:
    """The pids of `hpo launch`."""
    return [process.pid for process in _ours(root) if _command(process)[1:4] == ["-m", "hpo", "launch"]]


def workers(root: Path) -> list[int]:
    """The pids of workers."""
    return [process.pid for process in _ours(root) if "hpo.worker" in _command(process)[1:3]]


def postmaster(home: Path) -> int | None:
    """The pid of the embedded server."""
    return postgres.status(home).pid


def everything(root: Path, home: Path) -> list[int]:
    """All processes of the place, the server's and its watchdog among them."""
    found = {process.pid for process in _ours(root)}
    if server := postmaster(home):
        found.add(server)
        with suppress(psutil.Error):
            found |= {child.pid for child in psutil.Process(server).children(recursive=True)}
    return sorted(found)


def send(pid: int, number: signal.Signals) -> bool:
    """Signal a process; False where it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _ours(root: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _names(process, str(root))]


def _names(process: psutil.Process, path: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return any(path in word for word in process.cmdline()) or process.environ().get("HPO_HOME", "").startswith(path)
    except (psutil.Error, OSError):
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
