"""Budgets and grids with real processes: launched at once, killed, stopped, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from support import environment, wait_until

from hpo import postgres
from hpo.config import Config

pytestmark = pytest.mark.acceptance
Hpo = Callable[..., subprocess.CompletedProcess[str]]

RANDOM = """
study: {name}
objective: {{simulated: {{seconds: {seconds}, evaluations: 2}}}}
search:
  simulated.learning_rate: {{low: 1e-5, high: 1e-1, log: true}}
  simulated.dropout: {{low: 0.0, high: 0.5}}
sampler: random
pruner: none
trials: {trials}
"""
GRID = """
study: {name}
objective: {{simulated: {{seconds: {seconds}, evaluations: 2}}}}
search:
  simulated.learning_rate: [1e-4, 1e-3, 1e-2]
  simulated.batch_size: [8, 16, 32, 64]
  simulated.optimizer: [adamw, sgd]
sampler: grid
pruner: none
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, name: str = "exact", **values: Any) -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.format(name=name, **{"seconds": 0, "trials": 50} | values))
        return str(path)

    return write


def trials(hpo: Hpo, study: str = "exact") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(hpo("trials", "-s", study, "--json").stdout)
    return found


def check_exact(found: list[dict[str, Any]], budget: int) -> None:
    assert [trial["number"] for trial in found] == list(range(budget))
    assert Counter(trial["state"] for trial in found) == {"COMPLETE": budget}


def points(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(trial["params"].values()) for trial in found)


def start(config: Config, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hpo", *arguments],
        env=environment(config),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.fixture
def started(config: Config) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Processes that end with the test, their whole group with them."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> subprocess.Popen[bytes]:
        processes.append(start(config, *arguments))
        return processes[-1]

    yield run
    for process in processes:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


def workers_of(hpo: Hpo) -> list[int]:
    """The pids of the workers that hold a trial now."""
    return [row[0] for row in sql(hpo, "SELECT pid FROM hpo.attempts WHERE current AND ended IS NULL")]


def sql(hpo: Hpo, statement: str) -> list[tuple[Any, ...]]:
    with psycopg2.connect(hpo("db", "url", "--psql").stdout.strip()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_a_grid_of_24_with_4_workers_runs_each_point_once_and_never_again(
    hpo: Hpo, written: Callable[..., str]
) -> None:
    file = written(GRID)
    hpo("launch", "-s", file, "-w", "4")
    found = trials(hpo)
    check_exact(found, 24)
    assert len(set(points(found))) == 24
    again = hpo("launch", "-s", file, "-w", "4")
    assert "exact is complete: 24 trials. Its grid has no more points" in again.stderr
    assert len(trials(hpo)) == 24


def test_listed_points_run_once_each_with_4_workers_though_a_launch_is_killed(
    hpo: Hpo, written: Callable[..., str], started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    rates = ", ".join(f"{{{{simulated.learning_rate: {rate}e-4}}}}" for rate in range(1, 13))
    text = GRID.partition("search:")[0] + f"points: [{rates}]\npruner: none\n"
    launch = started("launch", "-s", written(text, seconds=1), "-w", "4")
    wait_until(lambda: len(workers_of(hpo)) == 4)
    os.kill(workers_of(hpo)[0], signal.SIGKILL)
    launch.kill()
    launch.wait()
    again = hpo("launch", "-s", "exact", "-w", "4")
    assert "exact: 12 trials, listed points + none" in again.stderr
    check_exact(found := trials(hpo), 12)
    assert len(set(points(found))) == 12
    assert "All of its points have run" in hpo("launch", "-s", "exact").stderr


def test_50_random_trials_with_8_workers(hpo: Hpo, written: Callable[..., str]) -> None:
    hpo("launch", "-s", written(RANDOM), "-w", "8")
    found = trials(hpo)
    check_exact(found, 50)
    assert len(set(points(found))) == 50
    again = hpo("launch", "-s", "exact", "-w", "8")  # by name: the database knows it
    assert "exact is complete: 50 trials. Extend it: hpo launch -s exact --trials +8" in again.stderr
    hpo("launch", "-s", "exact", "--trials", "+2", "-w", "2")
    check_exact(trials(hpo), 52)


def test_two_launches_of_a_new_study_on_an_empty_database(
    empty_url: str, config: Config, written: Callable[..., str], hpo: Hpo
) -> None:
    empty = replace(config, database_url=empty_url)
    file = written(RANDOM, trials=20)
    both = [start(empty, "launch", "-s", file, "-w", "2") for _ in range(2)]
    said = [process.communicate(timeout=120)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    check_exact(json.loads(hpo("trials", "-s", "exact", "--json", HPO_DATABASE_URL=empty_url).stdout), 20)
    assert len(json.loads(hpo("studies", "--json", HPO_DATABASE_URL=empty_url).stdout)) == 1


KILLED_CLAIM = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from hpo import config
from hpo.attempts import Worker
from hpo.store import open_store

left = int(sys.argv[1])

def count(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

with open_store(config.load()) as store:
    event.listen(store.engine, sys.argv[2], count)
    store.claim("exact", Worker("victim-" + sys.argv[1] + sys.argv[2], "here", os.getpid()))
    print("survived")
"""


def test_a_claim_killed_at_each_of_its_statements(config: Config, hpo: Hpo, written: Callable[..., str]) -> None:
    """Before and after every statement, and at the commit: whatever the victims left, the grid comes out exact."""
    file = written(GRID)
    hpo("launch", "-s", file, "-w", "1", "--set", "trials=1")
    hpo("launch", "-s", file, "-w", "1", "--set", "trials=2")
    killed = 0
    with (
        psycopg2.connect(str(config.database_url).replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE hpo.plans SET budget = 24")
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        for statements in range(40):
            command = [sys.executable, "-c", KILLED_CLAIM, str(statements), moment]
            done = subprocess.run(command, env=environment(config), capture_output=True, text=True, check=False)
            if "survived" in done.stdout:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            killed += 1
    assert killed > 10
    with (
        psycopg2.connect(str(config.database_url).replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE hpo.attempts SET beat = beat - interval '1 hour' WHERE current")
    hpo("launch", "-s", file, "-w", "2")
    found = trials(hpo)
    check_exact(found, 24)
    assert len(set(points(found))) == 24


def test_workers_killed_at_random_moments(hpo: Hpo, started: Any, written: Callable[..., str]) -> None:
    launch = started("launch", "-s", written(GRID, seconds=0.4), "-w", "3")
    for _ in range(4):
        wait_until(lambda: launch.poll() is not None or len(workers_of(hpo)) > 0)
        for pid in workers_of(hpo)[:1]:
            os.kill(pid, signal.SIGKILL)
    assert launch.wait(120) == 0
    found = trials(hpo)
    check_exact(found, 24)
    assert len(set(points(found))) == 24
    assert sql(hpo, "SELECT count(*) FROM hpo.attempts WHERE outcome = 'died'")[0][0] >= 1


def test_a_killed_launcher_leaves_trials_that_a_relaunch_continues(
    hpo: Hpo, started: Any, written: Callable[..., str]
) -> None:
    file = written(RANDOM, trials=8, seconds=1)
    launch = started("launch", "-s", file, "-w", "2")
    wait_until(lambda: len(workers_of(hpo)) == 2)
    orphans = workers_of(hpo)
    launch.kill()
    launch.wait()
    wait_until(lambda: not any(alive(pid) for pid in orphans))
    assert {row[0] for row in sql(hpo, "SELECT outcome FROM hpo.attempts WHERE current")} == {"released"}
    hpo("launch", "-s", file, "-w", "2")
    check_exact(trials(hpo), 8)
    assert max(trial["attempts"] for trial in trials(hpo)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_ctrl_c_releases_the_trials(hpo: Hpo, started: Any, written: Callable[..., str], number: int) -> None:
    file = written(RANDOM, trials=6, seconds=1)
    launch = started("launch", "-s", file, "-w", "2")
    wait_until(lambda: len(workers_of(hpo)) == 2)
    launch.send_signal(number)
    assert launch.wait(30) == 130
    assert workers_of(hpo) == []
    assert {trial["activity"] for trial in trials(hpo) if trial["state"] == "RUNNING"} <= {"paused"}
    hpo("launch", "-s", file, "-w", "2")
    check_exact(trials(hpo), 6)


def test_two_ctrl_c_end_at_once(hpo: Hpo, started: Any, written: Callable[..., str]) -> None:
    file = written(RANDOM, trials=4, seconds=120)
    launch = started("launch", "-s", file, "-w", "2")
    wait_until(lambda: len(workers_of(hpo)) == 2)
    pids = workers_of(hpo)
    launch.send_signal(signal.SIGINT)
    for line in launch.stderr:
        if b"stopping: trials end at their next evaluation" in line:
            break
    launch.send_signal(signal.SIGINT)
    assert launch.wait(30) == 130
    assert not any(alive(pid) for pid in pids)
    assert {trial["activity"] for trial in trials(hpo)} == {"paused"}


def test_postgresql_stopped_at_once_in_the_middle_of_claims(tmp_path: Path, written: Callable[..., str]) -> None:
    """The embedded server, killed as hard as PostgreSQL can be, comes back by itself, and the grid is exact."""
    home = Path(os.environ["TESTS_OF_HPO_HOME"]) / "crash"
    config = Config(home=home, beat=0.2, grace=1.5, patience=60)

    def hpo(*arguments: str, **_: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hpo", *arguments]
        return subprocess.run(command, env=environment(config), capture_output=True, text=True, check=True, timeout=120)

    launch = start(config, "launch", "-s", written(GRID, seconds=0.2), "-w", "4")
    try:
        wait_until(lambda: postgres.status(home).running and (home / "logs").exists(), 60)
        wait_until(lambda: sql(hpo, "SELECT count(*) FROM trials")[0][0] > 2)
        for _ in range(3):
            before = sql(hpo, "SELECT count(*) FROM trials")[0][0]
            pid = postgres.status(home).pid
            assert pid is not None
            os.kill(pid, signal.SIGQUIT)  # an immediate shutdown
            wait_until(lambda before=before: launch.poll() is not None or count_trials(hpo) > before, 60)
        assert launch.wait(120) == 0
        found = trials(hpo)
        check_exact(found, 24)
        assert len(set(points(found))) == 24
    finally:
        end(launch)
        postgres.stop(home, force=True)


def count_trials(hpo: Hpo) -> int:
    try:
        return int(sql(hpo, "SELECT count(*) FROM trials")[0][0])
    except (psycopg2.OperationalError, subprocess.CalledProcessError):
        return 0


def test_the_same_study_twice_gives_the_same_trials(hpo: Hpo, written: Callable[..., str]) -> None:
    tpe = RANDOM.replace("sampler: random", "sampler: tpe").replace("pruner: none", "pruner: asha")
    for name in ("first", "second"):
        hpo("launch", "-s", written(tpe, name, trials=15), "-w", "1")
    first, second = (trials(hpo, name) for name in ("first", "second"))
    for key in ("params", "value", "state"):
        assert [trial[key] for trial in first] == [trial[key] for trial in second]


@pytest.mark.parametrize(("text", "budget"), [(RANDOM, 12), (GRID, 24)])
def test_random_and_grid_are_the_same_with_4_workers(
    hpo: Hpo, written: Callable[..., str], text: str, budget: int
) -> None:
    for name, workers in (("alone", "1"), ("crowd", "4")):
        hpo("launch", "-s", written(text, name, trials=12), "-w", workers)
    alone, crowd = (trials(hpo, name) for name in ("alone", "crowd"))
    check_exact(crowd, budget)
    for key in ("params", "value"):
        assert [trial[key] for trial in alone] == [trial[key] for trial in crowd]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
