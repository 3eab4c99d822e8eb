"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("optuna", "sqlalchemy", "psycopg2-binary", "numpy")


def described(data: Path) -> str:
    """One line on the machine, one on the versions; `data` is the server's data folder."""
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    postgresql = (data / "PG_VERSION").read_text().strip()
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load {load}\n"
        f"Python {platform.python_version()}, PostgreSQL {postgresql}, {packages}"
    )


def revision() -> str:
    """The commit that is measured, with `+` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+"]
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _processor() -> str:
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return (
        f"{facts.get('model name', platform.machine())} (family {facts.get('cpu family')}, model {facts.get('model')})"
    )
