"""A worker of all studies: order, what it skips, what stops it; and the list of workers."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support import environment, wait_until
from workers import Start, started

from hpo.claims import Nothing
from hpo.config import Config
from hpo.errors import DatabaseError, StudyError
from hpo.launch.devices import used
from hpo.pool import RETRY_SECONDS, Pool
from hpo.spec import StudySpec
from hpo.store import Store

Run = Callable[..., Any]
TREE = {
    "objective": {"simulated": {"evaluations": 2}},
    "search": {"simulated.dropout": [0.1]},
    "sampler": "random",
    "pruner": "none",
    "trials": 2,
}
ORDER = "SELECT study FROM hpo.trials WHERE state = 'COMPLETE' ORDER BY finished"


@pytest.fixture
def start(config: Config, tmp_path: Path) -> Iterator[Start]:
    """Start `hpo worker` without a study; its output goes to `worker.log`. What still runs ends with the test."""
    with started() as begin:

        def start(*options: str, **environ: str) -> Any:
            command = [sys.executable, "-m", "hpo", "worker", *options]
            return begin(command, environment(config) | environ, tmp_path / "worker.log")

        yield start


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], str]:
    return (tmp_path / "worker.log").read_text


def create(store: Store, study: str, **changes: Any) -> None:
    store.create(StudySpec.from_dict(TREE | {"study": study} | changes))


def names(store: Store) -> list[str]:
    return [name for _, name in store.open_studies()]


def test_open_studies_are_in_order_of_priority_then_age(store: Store) -> None:
    for study, priority in (("plain", 0), ("urgent", 5), ("later", 0), ("low", -1)):
        create(store, study, priority=priority)
    assert names(store) == ["urgent", "plain", "later", "low"]
    create(store, "low", priority=9)  # a relaunch may change it
    assert names(store) == ["low", "urgent", "plain", "later"]


def test_a_study_without_work_is_not_open(store: Store, rows: Callable[[str], list[Any]]) -> None:
    create(store, "toy")
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE hpo.plans SET made = budget"))
    assert names(store) == []
    store.enqueue("toy", [{"simulated.dropout": 0.1}])
    assert names(store) == ["toy"]
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE hpo.plans SET error = 'it stopped'"))
    assert names(store) == []


class Toys:
    """Studies whose trials are counted; one in `broken` cannot be served, one in `busy` has trials elsewhere."""

    def __init__(self, **trials: int) -> None:
        self.trials, self.broken, self.busy = trials, dict[str, str](), set[str]()
        self.ran: list[str] = []
        self.entered: list[str] = []
        self.now = 0.0
        self.pool = Pool(self.studies, self.enter, lambda: self.now)

    def studies(self) -> list[tuple[int, str]]:
        return list(enumerate(self.trials))

    def enter(self, study_id: int) -> Callable[[], Nothing | None]:
        name = list(self.trials)[study_id]
        self.entered.append(name)
        if name in self.broken:
            raise StudyError(self.broken[name])
        return lambda: self.serve(name)

    def serve(self, name: str) -> Nothing | None:
        if not self.trials[name]:
            return Nothing.WAIT if name in self.busy else Nothing.DONE
        self.trials[name] -= 1
        self.ran.append(name)
        return None


def test_the_first_study_with_a_trial_is_served() -> None:
    toys = Toys(a=2, b=1)
    assert [toys.pool() for _ in range(3)] == [None] * 3
    assert (toys.ran, toys.entered) == (["a", "a", "b"], ["a", "b"])
    assert toys.pool() is Nothing.DONE
    toys.trials["a"] = 1
    assert toys.pool() is None


def test_a_study_that_others_run_is_waited_for_behind_the_rest() -> None:
    toys = Toys(a=0, b=1)
    toys.busy.add("a")
    assert toys.pool() is None
    assert toys.ran == ["b"]
    assert toys.pool() is Nothing.WAIT


def test_a_study_that_cannot_be_served_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    toys = Toys(a=1, b=2)
    toys.broken["a"] = "no such file"
    assert (toys.pool(), toys.pool(), toys.pool()) == (None, None, Nothing.DONE)
    assert toys.entered.count("a") == 1
    toys.now += RETRY_SECONDS
    toys.pool()
    assert toys.entered.count("a") == 2
    assert [record.getMessage() for record in caplog.records] == ["study a is skipped: no such file"]
    toys.broken.clear()
    toys.now += RETRY_SECONDS
    assert toys.pool() is None
    assert toys.ran == ["b", "b", "a"]


def test_a_lost_database_is_no_study_to_skip() -> None:
    def lost(study_id: int) -> Any:
        raise DatabaseError("gone")

    with pytest.raises(DatabaseError):
        Pool(lambda: [(1, "a")], lost)()


def test_drain_works_off_all_studies_by_priority(
    store: Store, start: Start, rows: Callable[[str], list[Any]], said: Callable[[], str]
) -> None:
    create(store, "old")
    create(store, "new", priority=1)
    assert start("--drain").wait(240) == 0
    assert [name for (name,) in rows(ORDER)] == ["new", "new", "old", "old"]
    assert rows("SELECT DISTINCT state FROM hpo.studies") == [("complete",)]
    told = re.findall(r"trial=- info (study \w+ trial \d)$", said(), re.MULTILINE)
    assert told == ["study new trial 0", "study new trial 1", "study old trial 0", "study old trial 1"]


def test_what_is_not_here_or_fails_does_not_stop_the_worker(
    store: Store, start: Start, rows: Callable[[str], list[Any]], said: Callable[[], str], tmp_path: Path
) -> None:
    """Rows of another machine, a study that stops with an error: a line each, then the study that is left."""
    elsewhere = {"task": "text-classification", "data": "rows.csv"}
    search = {"training.batch_size": [8, 16]}
    create(store, "elsewhere", priority=2, objective=elsewhere, search=search, folder=str(tmp_path))
    create(store, "fails", priority=1, trials=9, objective={"simulated": {"fail_at": 1}})
    create(store, "works")
    assert start("--drain").wait(240) == 0
    assert [name for (name,) in rows(ORDER)] == ["works", "works"]
    assert rows("SELECT study, state, failed FROM hpo.studies ORDER BY study") == [
        ("elsewhere", "open", 0),
        ("fails", "failed", 3),
        ("works", "complete", 0),
    ]
    skipped = [line for line in said().splitlines() if "is skipped" in line]
    assert len(skipped) == 1
    assert re.search(rf"study elsewhere is skipped: on \S+: data\.path: no such file: {tmp_path}/rows\.csv", skipped[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_worker_waits_for_new_studies_until_it_is_told_to_stop(
    store: Store, start: Start, rows: Callable[[str], list[Any]], number: int
) -> None:
    worker = start()
    create(store, "first", trials=1)
    wait_until(lambda: rows("SELECT FROM hpo.studies WHERE state = 'complete'"))
    create(store, "second", objective={"simulated": {"evaluations": 500, "seconds": 50}})
    wait_until(lambda: rows("SELECT FROM hpo.learning_curves WHERE study = 'second'"))
    assert worker.poll() is None
    worker.send_signal(number)
    assert worker.wait(240) == 143
    assert rows("SELECT activity FROM hpo.trials WHERE study = 'second'") == [("paused",)]


def test_a_deleted_study_does_not_stop_the_worker(
    store: Store, start: Start, rows: Callable[[str], list[Any]], said: Callable[[], str]
) -> None:
    create(store, "gone", objective={"simulated": {"evaluations": 500, "seconds": 50}})
    worker = start()
    wait_until(lambda: rows("SELECT FROM hpo.learning_curves WHERE study = 'gone'"))
    store.delete("gone")
    create(store, "next", trials=1)
    wait_until(lambda: rows("SELECT FROM hpo.studies WHERE study = 'next' AND state = 'complete'"))
    assert worker.poll() is None
    assert "Traceback" not in said()


def test_drain_is_for_all_studies(run: Run) -> None:
    found = run("worker", "-s", "bert-news", "--drain")
    assert found.code == 2
    assert "--drain goes without --study" in found.err


def test_workers_are_listed_while_they_run_a_trial(
    store: Store, start: Start, run: Run, rows: Callable[[str], list[Any]]
) -> None:
    empty = run("workers")
    assert (empty.code, empty.out, empty.err) == (0, "", "no worker runs a trial now; start one: hpo worker\n")
    create(store, "long", objective={"simulated": {"evaluations": 500, "seconds": 50}})
    worker = start(CUDA_VISIBLE_DEVICES="")
    wait_until(lambda: rows("SELECT FROM hpo.learning_curves WHERE step >= 2"))
    (found,) = json.loads(run("workers", "--json").out)
    host, name = os.uname().nodename, found["worker"]
    assert re.fullmatch(rf"{re.escape(host)}\.{worker.pid}-[0-9a-f]{{6}}", name)
    named = {"host": host, "pid": worker.pid, "device": "cpu", "visible_devices": ""}
    assert {**found, **named, "study": "long", "trial": 0, "attempt": 1} == found
    assert found["step"] >= 2
    assert 0 <= found["last_beat"] < 1.5
    head, line = run("workers").out.splitlines()
    assert head.split() == ["worker", "host", "pid", "device", "study", "trial", "step", "beat"]
    assert line.split()[:6] == [name, host, str(worker.pid), "cpu", "long", "0"]
    worker.kill()
    worker.wait()
    wait_until(lambda: run("workers", "--json").out == "[]\n")


NAMED = '#!/bin/sh\n[ "$1 $3" = "-i --query-gpu=name" ] || exit 9\n[ "$2" = 3 ] && echo NVIDIA H200 && exit 0\nexit 6\n'


@pytest.mark.parametrize(
    ("visible", "device"),
    [("3", "NVIDIA H200"), ("3,0", "NVIDIA H200"), ("MIG-1", "MIG-1"), ("", "cpu"), (None, "cpu")],
)
def test_the_device_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str
) -> None:
    """By a program named nvidia-smi that knows device 3 alone."""
    program = tmp_path / "nvidia-smi"
    program.write_text(NAMED)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert used(visible) == device


def test_without_a_driver_the_device_is_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert used("0") == "cpu"
