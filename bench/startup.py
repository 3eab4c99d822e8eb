"""What it costs to start: commands to their end, a worker to its first claim; CPU seconds of the whole process.

The commands use an embedded server that already runs and a study of 100 finished trials. Optuna's own commands stand
beside ours, in turns. Run: python -m bench.startup [--times 7]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import optuna
from sqlalchemy import text

from bench import history
from bench.machine import described
from bench.server import Private, environment, private
from hpo.running import Study
from hpo.spec import StudySpec
from hpo.store import Store, open_store

FINISHED = 100
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 120.0

Start = Callable[[], float]
"""Starts a process, waits until it has done what is measured, and returns its CPU seconds."""


def starts(server: Private, store: Store, spec: StudySpec) -> dict[str, Start]:
    """What is measured, by name."""
    url = server.server.url()
    study = ["--study", spec.study]
    optuna_best = ["optuna", "--storage", url, "best-trial", "--study-name", spec.study, "-f", "json"]
    commands: dict[str, list[str]] = {
        "`python -c pass`": ["-c", "pass"],
        '`python -c "import optuna, sqlalchemy, psycopg2"`': ["-c", "import optuna, sqlalchemy, psycopg2"],
        "`hpo --help`": ["-m", "hpo", "--help"],
        "`optuna --help`": ["-c", "from optuna.cli import main; main()", "--help"],
        "`hpo best --json`": ["-m", "hpo", "best", *study, "--json"],
        "`optuna best-trial`": ["-c", "from optuna.cli import main; main()", *optuna_best[1:]],
        "`hpo status`": ["-m", "hpo", "status", *study],
    }
    environ = environment(server.config)
    found: dict[str, Start] = {name: _command(arguments, environ) for name, arguments in commands.items()}
    found["worker, to its first claim"] = lambda: first_claim(store, environ)
    return found


def first_claim(store: Store, environ: Mapping[str, str]) -> float:
    """The CPU seconds of a worker from its start until its first attempt stands in the database; then it is killed."""
    spec = history.spec(f"start-{time.monotonic_ns()}", seconds=PATIENCE_SECONDS)
    store.create(spec)
    command = [sys.executable, "-m", "hpo.worker", "--study", spec.study, "--name", spec.study]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE_SECONDS
    while not _has_claimed(store, spec.study) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    process.kill()
    seconds = _cpu(process)
    if not store.end_attempts_of(spec.study, "released"):
        raise RuntimeError("the worker claimed nothing")
    return seconds


def _has_claimed(store: Store, worker: str) -> bool:
    with store.engine.begin() as connection:
        found = connection.scalar(text("SELECT count(*) FROM hpo.attempts WHERE worker = :worker"), {"worker": worker})
    return bool(found)


def _command(arguments: list[str], environ: Mapping[str, str]) -> Start:
    def start() -> float:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None  # noqa: S101 - for the type checker
        said = process.stderr.read()
        seconds = _cpu(process)
        if process.returncode:
            raise RuntimeError(f"{arguments} ended with {process.returncode}: {said.decode()}")
        return seconds

    return start


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """User and system seconds of a child that ends, and of its own children."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def measure(starts: Mapping[str, Start], times: int) -> dict[str, list[float]]:
    """The CPU seconds of each, `times` times in turns, after one that fills the disk's cache."""
    found: dict[str, list[float]] = {name: [] for name in starts}
    for turn in range(times + 1):
        for name, start in starts.items():
            seconds = start()
            if turn:
                found[name].append(seconds)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.chdir(Path(__file__).parents[1])  # `python -m hpo` finds the checkout
    with private() as server, open_store(server.config) as store:
        print(described(server.server.data))
        spec = history.spec()
        _prepare(store, spec)
        print(f"\n{options.times} times in turns\n\n| | CPU s: median (lowest-highest) |\n|---|---|")
        for name, seconds in measure(starts(server, store, spec), options.times).items():
            print(f"| {name} | {median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f}) |")


def _prepare(store: Store, spec: StudySpec) -> None:
    store.create(spec)
    history.fill(Study(store, spec.study).optuna, spec, FINISHED, attributes=False)
    with store.engine.begin() as connection:
        connection.exec_driver_sql(history.OURS)


if __name__ == "__main__":
    main()
