"""A launch that is killed as a whole, database and all, again and again: python -m bench.chaos.whole [--kills 8]

A shipped study on two workers with the real minilm, its frozen states from the cache: `bert-news-grid`, made shorter,
or `bert-news`. After each kill (SIGKILL for every process of the place) the same command is given again, as a person
would. What is then in the database must be complete, with the exact budget; the grid must equal an undisturbed run, to
the last bit (what TPE draws and ASHA prunes depends on the order). The exit code is 1 where it does not.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg2

from bench.chaos import processes, verdict
from bench.chaos.place import Place
from bench.machine import described
from hpo import postgres


@dataclass(frozen=True)
class Case:
    """A shipped study, how many trials it makes, and what is changed in it."""

    study: str
    trials: int
    changes: tuple[str, ...] = ()


GRID = Case("bert-news-grid", 6, ("training.epochs=4", "data.split.train=96", "data.split.valid=48"))
CASES = {case.study: case for case in (GRID, Case("bert-news", 12))}
BEGINNING, MORE = 30.0, 12.0  # seconds: kills in the first so many of a launch, or so many after its next evaluation
STUCK = 900.0  # seconds that the last launch of a study may take
_DONE = """
SELECT (SELECT count(*) FROM hpo.metrics JOIN trials USING (trial_id) WHERE study_id = n.study_id),
       (SELECT count(*) FROM trials WHERE study_id = n.study_id AND state = 'COMPLETE')
FROM hpo.plans n JOIN studies USING (study_id) WHERE study_name = %s
"""
_ENDINGS = "SELECT outcome FROM hpo.attempts JOIN studies USING (study_id) WHERE study_name = %s"
_CACHED = "SELECT facts ->> 'cached', params ->> 'model.frozen_layers' FROM hpo.trials WHERE study = %s"


@dataclass
class Log:
    """What happened: seconds into each launch at which it was killed, the evaluations it had found on record and those
    it left there, how attempts ended, and which trials took frozen states from the cache."""

    kills: list[tuple[str, float, int, int]] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Run; prints a report in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos.whole")
    parser.add_argument("--study", choices=CASES, default=GRID.study)
    parser.add_argument("--kills", type=int, default=8, help="at the least, in as many studies as that takes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    case, log, complaints, began, studies = CASES[options.study], Log(), list[str](), time.monotonic(), 0
    chance = random.Random(options.seed)  # noqa: S311 - the same moments for the same seed
    with _place() as here:
        _undisturbed(here, case)
        calm = _outcome(here, "calm")
        calm_seconds = time.monotonic() - began
        while len(log.kills) < options.kills:
            studies += 1
            name = f"killed-{studies}"
            complaints += _disturbed(here, case, name, chance, log, options.kills)
            complaints += [f"{name}: {line}" for line in _wrong(case, calm, _outcome(here, name))]
        with postgres.lease(here.config.home) as server:
            machine = described(server.data)
            complaints += verdict.connections(here)
        complaints += verdict.left_behind(here)
    print(_report(case, log, studies, (calm_seconds, time.monotonic() - began), machine, complaints))
    return 1 if complaints else 0


@contextmanager
def _place() -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="hpo-whole-"))
    root.chmod(0o711)
    here = Place(root, 0)
    here.disk.mkdir()
    try:
        yield here
    finally:
        _kill(here)
        shutil.rmtree(root, ignore_errors=True)


def _launch(here: Place, case: Case, name: str) -> subprocess.Popen[bytes]:
    changes = [word for change in case.changes for word in ("--set", change)]
    return here.hpo("launch", "-s", case.study, "--as", name, "-w", "2", *changes)


def _kill(here: Place) -> None:
    """Every process, those too that were started meanwhile."""
    while pids := processes.everything(here.root, here.config.home):
        for pid in pids:
            processes.send(pid, signal.SIGKILL)
        time.sleep(0.05)


def _undisturbed(here: Place, case: Case) -> None:
    if _launch(here, case, "calm").wait(STUCK):
        raise RuntimeError(here.said())


def _disturbed(here: Place, case: Case, name: str, chance: random.Random, log: Log, most: int) -> list[str]:
    """One study from nothing, its cache too, to complete, with no more than `most` kills in all; complaints."""
    shutil.rmtree(here.config.caches, ignore_errors=True)
    found, launch, began = 0, _launch(here, case, name), time.monotonic()
    while not _ended(here, name, launch, found, chance if len(log.kills) < most else None):
        after = time.monotonic() - began
        left, complete = _progress(here, name) or (found, 0)
        _kill(here)
        launch.wait()
        log.kills.append((name, after, found, left))
        print(f"{name}: killed after {after:.1f} s, {left} evaluations, {complete} trials", file=sys.stderr, flush=True)
        found, launch, began = left, _launch(here, case, name), time.monotonic()
    wrong = [f"{name}: the launch ended with {launch.returncode}: {here.said()}"] if launch.returncode else []
    with postgres.lease(here.config.home):
        log.endings.update(row[0] for row in here.rows(_ENDINGS, name))
        log.cached.update("cached" if row[0] == "true" else "not" for row in here.rows(_CACHED, name) if row[1] != "0")
    return wrong


def _wrong(case: Case, calm: verdict.Outcome, disturbed: verdict.Outcome) -> list[str]:
    if case is GRID:
        return verdict.wrong(calm, disturbed, "grid", case.trials)
    return verdict.incomplete(disturbed, case.trials)


def _ended(here: Place, name: str, launch: subprocess.Popen[bytes], found: int, chance: random.Random | None) -> bool:
    """Whether the launch ended before a random moment: in its beginning, or after an evaluation beyond those found."""
    if chance is None:
        launch.wait(STUCK)
    elif chance.random() < 1 / 3:
        _wait(launch, chance.uniform(0.2, BEGINNING))
    else:
        until = time.monotonic() + STUCK
        while launch.poll() is None and (_progress(here, name) or (0, 0))[0] <= found and time.monotonic() < until:
            time.sleep(0.2)
        _wait(launch, chance.uniform(0.0, MORE))
    return launch.poll() is not None


def _wait(launch: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        launch.wait(seconds)


def _progress(here: Place, name: str) -> tuple[int, int] | None:
    """Evaluations and complete trials on record; None where the database is not there yet."""
    try:
        (found,) = here.rows(_DONE, name)
    except (psycopg2.Error, ValueError):
        return None
    return found[0], found[1]


def _outcome(here: Place, name: str) -> verdict.Outcome:
    with postgres.lease(here.config.home):
        return verdict.outcome(here, name)


def _report(
    case: Case, log: Log, studies: int, seconds: tuple[float, float], machine: str, complaints: list[str]
) -> str:
    calm, total = seconds
    lines = [machine, "", f"Studies of {case.trials} trials: {studies}, killed as a whole {len(log.kills)} times; "]
    lines[-1] += f"an undisturbed one takes {calm:.0f} s, all together {total / 60:.0f} minutes."
    lines += ["", "| study | killed after s | evaluations on record before | at the kill |", "|---|---|---|---|"]
    lines += [f"| {name} | {after:.1f} | {found} | {left} |" for name, after, found, left in log.kills]
    ended = ", ".join(f"{count} {ending}" for ending, count in sorted(log.endings.items()))
    kept = ", ".join(f"{count} {what}" for what, count in sorted(log.cached.items()))
    lines += ["", f"Attempts: {ended}. Median moment of a kill: {median(kill[1] for kill in log.kills):.1f} s."]
    lines += [f"Trials with frozen layers: {kept}.", ""]
    return "\n".join(lines + (complaints or ["Everything exact, nothing left behind."]))


if __name__ == "__main__":
    sys.exit(main())
