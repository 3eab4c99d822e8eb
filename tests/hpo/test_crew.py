"""The launcher's workers: who is replaced, who is not, and what is said where nobody hears it any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import environment, wait_until

from hpo import report
from hpo.config import Config
from hpo.errors import HpoError
from hpo.launch.local import Child, Crew, _signals
from hpo.loglines import READY


class Process:
    """A worker's process, as far as a launcher looks at it."""

    def __init__(self) -> None:
        self.pid, self.signals = 1, list[int]()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self.signals.append(signal.SIGTERM)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)


@pytest.fixture
def crew(tmp_path: Path) -> Any:
    """Two children, whose books and lines are kept, and no more than these."""
    books, said = list[tuple[str, str]](), list[str]()
    store = SimpleNamespace(end_attempts_of=lambda name, ending, _: books.append((name, ending)))
    made: Any = Crew(SimpleNamespace(store=store, say=said.append))  # type: ignore[arg-type]
    for slot in range(2):
        log = tmp_path / f"{slot}.log"
        log.write_text("")
        made.children.append(Child(str(slot), slot, Process(), log))  # type: ignore[arg-type]
    made.books, made.said, made.again = books, said, list[int]()
    made.start = made.again.append
    return made


def test_one_that_cannot_work_lets_the_others_come_to_their_checkpoints(crew: Any) -> None:
    first, second = crew.children
    first.log.write_text("begun\nError: the database has been away\n")
    first.process.returncode = 1
    crew.reap(stopping=False)
    assert second.process.signals == [signal.SIGTERM]
    assert crew.said == ["worker 1 cannot go on: the database has been away; the others stop at their next evaluation"]
    second.process.returncode = 143
    crew.reap(stopping=False)
    assert (crew.children, crew.again, crew.books) == ([], [], [("1", "released")])
    assert crew.failed == "the database has been away"


@pytest.mark.parametrize(("said", "starts"), [("", 2), (READY, 3), (f"{READY}\n attempt 1", 3)])
def test_workers_that_die_before_they_are_ready_are_not_replaced_for_ever(crew: Any, said: str, starts: int) -> None:
    """However long each of them took to read its rows, and to have no memory left."""
    for child in (crew.children[0], *(Child(str(n), 0, Process(), crew.children[0].log) for n in range(2))):  # type: ignore[arg-type]
        child.log.write_text(said)
        child.started = time.monotonic() - 600
        child.process.returncode = -signal.SIGKILL
        crew.children = [child]
        if len(crew.again) == 2 and starts == 2:
            with pytest.raises(HpoError, match="3 workers in a row did not start"):
                crew.reap(stopping=False)
        else:
            crew.reap(stopping=False)
    assert len(crew.again) == starts


def test_nobody_is_told_to_stop_twice_but_by_who_asks_twice(crew: Any) -> None:
    """A worker that is told twice ends at once, and loses what came since its checkpoint."""
    first, second = crew.children
    crew.stop(1)
    first.log.write_text("Error: no space left\n")
    first.process.returncode = 1
    crew.reap(stopping=True)
    crew.stop(1)
    assert second.process.signals == [signal.SIGTERM]
    crew.stop(2)
    assert second.process.signals == [signal.SIGTERM, signal.SIGKILL]


def test_under_nohup_the_end_of_the_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _signals() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
        assert asked.count == 1
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with _signals() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
        assert asked.count == 1
    finally:
        signal.signal(signal.SIGHUP, before)


SLOW = """
study: slow
objective: {simulated: {evaluations: 1000, seconds: 300}}
search: {simulated.dropout: [0.1, 0.2]}
trials: 2
"""


def test_a_launch_that_nobody_hears_still_lets_its_trials_end_at_an_evaluation(config: Config, tmp_path: Path) -> None:
    """As `hpo launch 2>&1 | tee log` at Ctrl-C, which ends tee first."""
    file = tmp_path / "slow.yaml"
    file.write_text(SLOW)
    command = [sys.executable, "-m", "hpo", "launch", "-s", str(file), "-w", "1"]
    launch = subprocess.Popen(command, env=environment(config), stderr=subprocess.PIPE, start_new_session=True)
    assert launch.stderr is not None
    launch.stderr.readline()
    with report.read(config) as rows:
        wait_until(lambda: any(row["step"] > 1 for row in rows.workers()), 60)
    launch.stderr.close()
    launch.send_signal(signal.SIGINT)
    assert launch.wait(60) != 0
    (log,) = (config.logs / "slow").glob("*.log")
    assert log.read_text().splitlines()[-1].endswith("info released")
