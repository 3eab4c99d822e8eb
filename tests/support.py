"""What tests share that is no fixture."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from hpo import postgres
from hpo.config import Config


def environment(config: Config) -> dict[str, str]:
    """The environment of a process that a test starts."""
    return {**os.environ, **config.environ(), "OMP_NUM_THREADS": "1"}


def wait_until(condition: Callable[[], object], timeout: float = 120.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, f"not within {timeout} s: {condition}"
        time.sleep(0.02)


def leave(home: Path) -> None:
    """Stop a home's server and remove the home, where its watchdog writes until it leaves, a little later."""
    postgres.stop(home, force=True)
    wait_until(lambda: shutil.rmtree(home, ignore_errors=True) or not home.exists())
