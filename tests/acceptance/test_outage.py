"""The database goes away in the middle of trials: training goes on, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from support import environment, wait_until

from hpo import postgres
from hpo.attempts import Claim, Worker
from hpo.claims import Nothing
from hpo.config import Config
from hpo.database import Database, parse_url
from hpo.schema import ensure
from hpo.spec import StudySpec
from hpo.store import Store

pytestmark = pytest.mark.acceptance

EVALUATIONS = 40
TREE = {
    "study": "one",
    "objective": {"simulated": {"evaluations": EVALUATIONS, "seconds": 12, "noise": 0.05}},
    "search": {"simulated.dropout": [0.1]},
    "sampler": "random",
    "pruner": "none",
    "trials": 1,
}
BACK = ("fast", "immediate", "killed")
"""How the server ends: told to, told to drop everything, killed."""


class Site:
    """A server that nobody but the test starts and stops, and workers on it."""

    def __init__(self, config: Config, home: Path, folder: Path) -> None:
        self.config, self.home, self.folder = config, home, folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def away(self, how: str = "fast") -> None:
        pid = postgres.status(self.home).pid
        assert pid is not None
        os.kill(pid, {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}[how])
        wait_until(lambda: not postgres.status(self.home).running)

    def back(self) -> None:
        postgres.attach(self.home)

    def worker(self, name: str, study: str = "one", **changes: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hpo.worker", "--study", study, "--name", name]
        with (self.folder / f"{name}.log").open("wb") as log:
            values = environment(replace(self.config, **changes))
            self.processes.append(subprocess.Popen(command, env=values, stdout=log, stderr=log))
        return self.processes[-1]

    def launch(self) -> subprocess.Popen[bytes]:
        """A launch of the study with one worker; what it says is under the name `launch`."""
        command = [sys.executable, "-m", "hpo", "launch", "-s", "one", "-w", "1"]
        with (self.folder / "launch.log").open("wb") as log:
            values = environment(replace(self.config, grace=5))
            self.processes.append(subprocess.Popen(command, env=values, stdout=log, stderr=log))
        return self.processes[-1]

    def of_launch(self) -> list[Path]:
        """The logs of the launch's workers, in the order of their starts; they have the workers' names."""
        return sorted((self.config.logs / "one").glob("*.log"), key=lambda log: int(log.stem.rsplit(".", 1)[1]))

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def steps(self, name: str) -> list[int]:
        """The evaluations that a worker has made, by its log."""
        return [int(step) for step in re.findall(r" info step (\d+) ", self.said(name))]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        url = parse_url(str(self.config.database_url)).set(drivername="postgresql")
        with psycopg2.connect(url.render_as_string(hide_password=False)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def recorded(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT step, recorded FROM hpo.metrics ORDER BY step")

    def trains_on(self, name: str, evaluations: int = 3) -> None:
        """Wait for evaluations that are made from now on."""
        before = len(self.steps(name))
        wait_until(lambda: len(self.steps(name)) >= before + evaluations, 60)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """With one study of one trial, whose evaluations are known beforehand."""
    # The server's account must reach it, also when root runs the tests.
    home = Path(tempfile.mkdtemp(prefix="outage-", dir=os.environ["TESTS_OF_HPO_HOME"]))
    home.chmod(0o711)
    with ExitStack() as stack:
        server = stack.enter_context(postgres.lease(home))
        config = Config(tmp_path / "home", server.url(), beat=0.5, grace=60, patience=120, checkpoint=0.001)
        database = Database(locate=lambda: parse_url(server.url()))
        ensure(database)
        store = Store(database)
        store.create(StudySpec.from_dict(TREE))
        store.close()
        found = Site(config, home, tmp_path)
        yield found
        for process in found.processes:
            process.kill()
            process.wait()
        postgres.stop(home, force=True)


@pytest.fixture
def small(site: Site) -> Site:
    """With four connections for everybody."""
    data = postgres.status(site.home).data
    assert data is not None
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("max_connections = 4\nautovacuum = off\n")
    site.away()
    site.back()
    return site


def check_complete(site: Site, attempts: list[tuple[str, str]]) -> None:
    """Every evaluation is there once, in Optuna's table and in ours, and the trial has the best of them."""
    steps = list(range(1, EVALUATIONS + 1))
    assert [row[0] for row in site.rows("SELECT step FROM hpo.metrics ORDER BY step")] == steps
    assert [row[0] for row in site.rows("SELECT step FROM trial_intermediate_values ORDER BY step")] == steps
    assert site.rows("SELECT state, value = best_value FROM hpo.trials") == [("COMPLETE", True)]
    differ = (
        "SELECT count(*) FROM hpo.learning_curves c JOIN trial_intermediate_values v USING (step) "
        "WHERE v.intermediate_value <> c.value"
    )
    assert site.rows(differ) == [(0,)]
    assert site.rows("SELECT worker, outcome FROM hpo.attempts ORDER BY attempt") == attempts


@pytest.mark.parametrize("how", BACK)
def test_training_goes_on_while_the_database_is_away(site: Site, how: str) -> None:
    worker = site.worker("a")
    wait_until(lambda: len(site.recorded()) > 3, 60)
    acknowledged = site.recorded()
    site.away(how)
    site.trains_on("a")
    site.back()
    site.trains_on("a")
    assert worker.wait(120) == 0, site.said("a")
    assert site.recorded()[: len(acknowledged)] == acknowledged
    check_complete(site, [("a", "complete")])
    assert "training goes on, next try in" in site.said("a")
    assert site.steps("a") == list(range(1, EVALUATIONS + 1))


def test_a_worker_whose_patience_ends_leaves_its_evaluations_to_the_next(site: Site) -> None:
    worker = site.worker("a", patience=1.0)
    wait_until(lambda: len(site.recorded()) > 3, 60)
    site.away()
    assert worker.wait(60) == 1
    last = site.said("a").splitlines()[-1]
    assert last.startswith("Error: the database has been away for longer than 1 s (HPO_PATIENCE): ")
    check_continued(site)


def test_a_worker_killed_while_the_database_is_away_leaves_them_in_its_checkpoint(site: Site) -> None:
    worker = site.worker("a")
    wait_until(lambda: len(site.recorded()) > 3, 60)
    site.away("killed")
    site.trains_on("a", evaluations=5)
    worker.kill()
    worker.wait()
    check_continued(site)


def test_a_worker_told_to_stop_while_the_database_is_away_leaves_at_its_next_evaluation(site: Site) -> None:
    worker = site.worker("a")
    wait_until(lambda: len(site.recorded()) > 3, 60)
    site.away()
    site.trains_on("a")
    worker.terminate()
    assert worker.wait(60) == 1
    check_continued(site)


def check_continued(site: Site) -> None:
    """The next worker delivers what the first one could not, and evaluates none of it again."""
    trained = site.steps("a")[-1]
    site.back()
    recorded = site.recorded()
    assert recorded[-1][0] < trained
    site.rows("UPDATE hpo.attempts SET beat = beat - interval '1 hour' RETURNING 1")
    assert site.worker("heir").wait(120) == 0, site.said("heir")
    check_complete(site, [("a", "released"), ("heir", "complete")])
    assert site.recorded()[: len(recorded)] == recorded
    found = re.search(r"continues from the checkpoint of step (\d+)", site.said("heir"))
    assert found is not None
    kept = int(found[1])
    assert kept > recorded[-1][0]
    assert site.steps("heir") == list(range(kept + 1, EVALUATIONS + 1))
    attempts = site.rows("SELECT attempt FROM hpo.metrics ORDER BY step")
    assert attempts == [(1,)] * kept + [(2,)] * (EVALUATIONS - kept)


def test_after_an_outage_nobody_takes_a_trial_before_its_worker_could_beat(site: Site) -> None:
    """However long it was: the worker that waits for work may be back before the one that has some."""
    worker = site.worker("a")
    wait_until(lambda: len(site.recorded()) > 3, 60)
    os.kill(worker.pid, signal.SIGSTOP)
    site.away()
    site.back()
    site.rows("UPDATE hpo.attempts SET beat = beat - interval '1 hour' RETURNING 1")
    store = Store(Database(locate=lambda: parse_url(str(site.config.database_url))))
    assert store.claim("one", Worker("idle", "here", 1))[1] is Nothing.WAIT
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: site.rows("SELECT beat > clock_timestamp() - interval '1 minute' FROM hpo.attempts")[0][0])
    os.kill(worker.pid, signal.SIGSTOP)
    site.rows("UPDATE hpo.attempts SET beat = beat - interval '1 hour' RETURNING 1")
    wait_until(lambda: isinstance(store.claim("one", Worker("heir", "here", 2))[1], Claim), 30)
    store.close()


TAKE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hpo'"


@contextmanager
def all_connections(site: Site) -> Iterator[None]:
    """Hold every connection that the server has left; those of workers are taken from them."""
    with ExitStack() as held:
        url = parse_url(str(site.config.database_url)).set(drivername="postgresql")

        def connect() -> Any:
            return held.enter_context(closing(psycopg2.connect(url.render_as_string(hide_password=False))))

        def take(cursor: Any) -> None:
            while True:
                cursor.execute(TAKE)
                connect()

        first = connect()
        first.autocommit = True
        with first.cursor() as cursor, pytest.raises(psycopg2.OperationalError, match="too many clients"):
            take(cursor)
        yield


def test_a_worker_waits_for_a_connection_at_its_start(small: Site) -> None:
    with all_connections(small):
        worker = small.worker("a")
        wait_until(lambda: "too many clients" in small.said("a"), 60)
        assert worker.poll() is None
    assert worker.wait(120) == 0, small.said("a")
    check_complete(small, [("a", "complete")])


@pytest.mark.parametrize("how", BACK)
def test_a_worker_that_starts_while_the_database_is_away_waits_for_it(site: Site, how: str) -> None:
    site.away(how)
    worker = site.worker("a")
    wait_until(lambda: "trying again in" in site.said("a"), 60)
    assert worker.poll() is None
    site.back()
    assert worker.wait(120) == 0, site.said("a")
    check_complete(site, [("a", "complete")])


def test_a_launch_outlives_workers_killed_while_the_database_is_away(site: Site) -> None:
    launch = site.launch()
    wait_until(lambda: len(site.recorded()) > 3, 60)
    ((pid,),) = site.rows("SELECT pid FROM hpo.attempts")
    site.away("killed")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(site.of_launch()) > 1, 60)
    wait_until(lambda: "trying again in" in site.of_launch()[1].read_text(), 60)
    site.back()
    assert launch.wait(200) == 0, site.said("launch")
    first, second = (log.stem for log in site.of_launch())
    check_complete(site, [(first, "released"), (second, "complete")])


def test_a_launch_against_a_server_that_is_away_ends_at_once(site: Site) -> None:
    site.away()
    assert site.launch().wait(60) == 1
    assert site.said("launch").startswith("Error: HPO_DATABASE_URL: cannot reach ")
    assert "trying again" not in site.said("launch")


def test_a_worker_trains_on_while_others_have_all_connections(small: Site) -> None:
    worker = small.worker("a")
    wait_until(lambda: len(small.steps("a")) > 3, 60)
    with all_connections(small):
        small.trains_on("a")
        wait_until(lambda: "too many clients" in small.said("a"), 60)
    assert worker.wait(120) == 0, small.said("a")
    check_complete(small, [("a", "complete")])


def test_more_workers_than_connections_complete_a_study(small: Site) -> None:
    tree = TREE | {"objective": {"simulated": {"seconds": 0.5}}, "trials": 12, "study": "many"}
    store = Store(Database(locate=lambda: parse_url(str(small.config.database_url))))
    store.create(StudySpec.from_dict(tree))
    store.close()
    workers = [small.worker(f"w{number}", study="many") for number in range(5)]
    assert [worker.wait(200) for worker in workers] == [0] * 5
    assert small.rows("SELECT trials, complete FROM hpo.studies WHERE study = 'many'") == [(12, 12)]
    assert "Traceback" not in "".join(small.said(f"w{number}") for number in range(5))
