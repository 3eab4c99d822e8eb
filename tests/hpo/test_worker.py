"""`python -m hpo.worker` as a process of its own, on simulated studies: how it works, fails, stops and dies."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from support import wait_until
from workers import ATTEMPTS, STEPS, TREE, Rows, Said, Start, create, ended

from hpo import worker
from hpo.attempts import Worker
from hpo.config import Config
from hpo.errors import HpoError, StudyError
from hpo.spec import StudySpec
from hpo.store import Store


def work(config: Config) -> None:
    """Work the study off in this process, as a worker named `a`."""
    me = Worker("a", os.uname().nodename, os.getpid(), config.grace)
    worker.run(config, "one", me, threading.Event())


def test_an_unknown_study_is_one_line(store: Store, start: Start, said: Said) -> None:
    assert ended(start(study="nowhere")) == 1
    assert said() == ("Error: nowhere: no such study in the database; hpo studies lists them, hpo launch makes one\n")


def test_a_database_that_is_not_there_is_waited_for_and_then_one_line(start: Start, said: Said) -> None:
    assert ended(start(HPO_DATABASE_URL="postgresql://one:s3cret@127.0.0.1:1/x", HPO_PATIENCE="1")) == 1
    *waits, last = said().splitlines()
    assert re.fullmatch(r"Error: HPO_DATABASE_URL: cannot reach postgresql\S+one:\*\*\*@127.0.0.1:1/x: .*", last)
    assert waits
    assert all("Connection refused" in line and "; trying again in 0." in line for line in waits)


@pytest.mark.parametrize(
    ("password", "database", "advice"),
    [
        ("wr0ng", "hpo", "FATAL:  password authentication failed"),
        (None, "nowhere", 'FATAL:  database "nowhere" does not exist'),
    ],
)
def test_a_server_that_refuses_a_worker_is_not_waited_for(
    server: Any, start: Start, said: Said, password: str | None, database: str, advice: str
) -> None:
    url = make_url(server.url(database))
    url = url.set(password=password, query={}) if password else url
    assert ended(start(HPO_DATABASE_URL=url.render_as_string(hide_password=False))) == 1
    (line,) = said().splitlines()
    assert line.startswith("Error: HPO_DATABASE_URL: cannot reach ")
    assert advice in line


def test_a_worker_that_waits_for_its_database_can_be_stopped(start: Start, said: Said) -> None:
    waiting = start(HPO_DATABASE_URL="postgresql://one@127.0.0.1:1/x", HPO_PATIENCE="600")
    wait_until(lambda: "trying again" in said())
    waiting.terminate()
    assert ended(waiting) == 1


def test_a_study_is_worked_off_and_logged_by_trial(store: Store, start: Start, rows: Rows, said: Said) -> None:
    create(store, trials=2)
    assert ended(start()) == 0
    assert rows(ATTEMPTS) == [("a", 1, "complete"), ("a", 1, "complete")]
    lines = said().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d trial=[01-] \w+ ", line) for line in lines)
    for number in (0, 1):
        own = [line.partition(f" trial={number} ")[2] for line in lines if f" trial={number} " in line]
        assert own[0] == "info attempt 1: {'simulated.dropout': 0.1}"
        assert [line.split()[:3] for line in own[1:-1]] == [["info", "step", str(step)] for step in (1, 2, 3)]
        assert own[-1] == "info complete"
    assert ended(start(name="late")) == 0
    assert rows("SELECT count(*) FROM trials") == [(2,)]


def test_a_failure_is_kept_with_its_place(
    store: Store, config: Config, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    create(store, trials=2, fail_at=2)
    work(config)
    both = rows("SELECT state, error, last_step, attempts FROM hpo.trials")
    assert both == [("FAIL", "RuntimeError: simulated failure at evaluation 2", 1, 1)] * 2
    ((place,),) = rows("SELECT DISTINCT place FROM hpo.attempts")
    assert re.fullmatch(r"RuntimeError at simulated.py:\d+", place)
    assert "Traceback" in caplog.text


def test_three_equal_failures_stop_the_study(store: Store, config: Config, rows: Rows) -> None:
    create(store, trials=9, fail_at=1)
    with pytest.raises(StudyError) as stopped:
        work(config)
    assert str(stopped.value) == (
        "the first trials all failed with: RuntimeError: simulated failure at evaluation 1; mend it and launch again"
    )
    assert rows("SELECT state, count(*) FROM hpo.trials GROUP BY state") == [("FAIL", 3)]


def test_a_loss_that_is_no_number_prunes_with_the_reason(store: Store, config: Config, rows: Rows) -> None:
    create(store, nan_at=2)
    work(config)
    assert rows("SELECT state, error, last_step, best_step FROM hpo.trials") == [
        ("PRUNED", "val_loss was nan at step 2", 2, 1)
    ]
    assert rows("SELECT step FROM trial_intermediate_values") == [(1,)]
    assert rows("SELECT metrics ->> 'val_loss' FROM hpo.metrics WHERE step = 2") == [(None,)]


def test_a_batch_that_does_not_fit_into_memory_prunes_with_the_reason(store: Store, config: Config, rows: Rows) -> None:
    create(store, memory=8)
    work(config)
    said = "simulated.batch_size: 16 rows do not fit into memory"
    assert rows("SELECT state, error, place FROM hpo.trials JOIN hpo.attempts a USING (trial_id, error)") == [
        ("PRUNED", said, None)
    ]
    assert rows("SELECT key, value_json FROM trial_system_attributes WHERE key LIKE 'constraint%'") == [
        ("constraints:infeasible", "1.0")
    ]


def test_tpe_avoids_what_could_not_be_trained(
    store: Store, config: Config, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials that look good until they diverge late; a sampler that is not told prefers them to others pruned early."""
    tree = TREE | {
        "objective": {"simulated": {"evaluations": 6, "nan_at": 6, "nan_above": 2e-4}},
        "search": {
            "simulated.learning_rate": {"low": 1e-5, "high": 2e-3, "log": True},
            "simulated.dropout": {"low": 0.0, "high": 0.5},
        },
        "sampler": {"kind": "tpe", "n_startup_trials": 12},
        "pruner": {"kind": "threshold", "upper": 0.5, "n_warmup_steps": 5},
        "trials": 26,
        "enqueue_defaults": False,
    }
    store.create(StudySpec.from_dict(tree | {"study": "told"}))
    store.create(StudySpec.from_dict(tree | {"study": "untold"}))
    me = Worker("here.1.1", "here", 1, config.grace)
    worker.run(config, "told", me, threading.Event())
    monkeypatch.setattr("optuna.trial.Trial.set_constraint", lambda *_: None)
    worker.run(config, "untold", me, threading.Event())
    diverged = "SELECT count(*) FROM hpo.trials WHERE study = '{}' AND error LIKE '%nan at step 6'"
    told, untold = (rows(diverged.format(study))[0][0] for study in ("told", "untold"))
    assert 0 < told < untold - 3


@pytest.mark.acceptance
@pytest.mark.parametrize(("exit_at", "seconds", "deaths"), [(1, 0, 3), (2, 4.5, 4)])
def test_a_trial_that_kills_its_workers_fails_in_the_end(
    store: Store, start: Start, rows: Rows, exit_at: int, seconds: float, deaths: int
) -> None:
    """Each death is noticed by the grace alone; only deaths without a new evaluation count, which takes its time."""
    create(store, exit_at=exit_at, seconds=seconds)
    for number in range(deaths):
        assert ended(start(name=f"w{number}", grace=0.5)) == -signal.SIGKILL
    assert ended(start(name="last", grace=0.5)) == 0
    assert rows("SELECT count(*) FROM trials") == [(1,)]
    assert rows(ATTEMPTS) == [
        *((f"w{number}", number + 1, "died") for number in range(deaths - 1)),
        (f"w{deaths - 1}", deaths, "fail"),
    ]
    said = "its worker died 3 times in a row without a new evaluation; see hpo logs"
    assert rows("SELECT state, error FROM hpo.trials") == [("FAIL", said)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_releases_its_trial(
    store: Store, start: Start, rows: Rows, said: Said, number: int
) -> None:
    create(store, evaluations=200, seconds=20)
    worker = start()
    wait_until(lambda: rows(STEPS) > [(0,)])
    worker.send_signal(number)
    assert ended(worker) == 143
    assert rows(ATTEMPTS) == [("a", 1, "released")]
    assert rows("SELECT state, activity FROM hpo.trials") == [("RUNNING", "paused")]
    assert said().splitlines()[-1].endswith("trial=0 info released")


def test_a_worker_stops_when_its_parent_is_gone(store: Store, start: Start, rows: Rows) -> None:
    create(store, evaluations=200, seconds=20)
    worker = start("--parent", str(os.getpid()), name="kept")
    wait_until(lambda: rows(STEPS) > [(3,)])
    orphan = start("--parent", str(worker.pid), name="orphan")
    assert ended(orphan) == 143
    assert worker.poll() is None
    worker.terminate()
    assert ended(worker) == 143


def test_a_worker_killed_and_replaced_loses_and_doubles_nothing(store: Store, start: Start, rows: Rows) -> None:
    create(store, evaluations=8, seconds=1.6)
    worker = start(name="killed")
    wait_until(lambda: rows(STEPS) > [(1,)])
    worker.kill()
    before = rows("SELECT step, recorded FROM hpo.metrics ORDER BY step")
    assert ended(start(name="heir")) == 0
    assert rows(ATTEMPTS) == [("killed", 1, "died"), ("heir", 2, "complete")]
    after = rows("SELECT step, recorded FROM hpo.metrics ORDER BY step")
    assert [step for step, _ in after] == list(range(1, 9))
    assert after[: len(before)] == before


@pytest.mark.acceptance
def test_a_worker_frozen_past_the_grace_lets_go(store: Store, start: Start, rows: Rows, said: Said) -> None:
    """It wakes up superseded, drops the trial without a word to the database, and goes on with the next."""
    create(store, trials=2, evaluations=10, seconds=2.5)
    frozen = start(name="frozen")
    wait_until(lambda: rows(STEPS) > [(1,)])
    frozen.send_signal(signal.SIGSTOP)
    heir = start(name="heir")
    wait_until(lambda: rows("SELECT 1 FROM hpo.trials WHERE number = 0 AND worker = 'heir' AND state = 'COMPLETE'"))
    frozen.send_signal(signal.SIGCONT)
    assert (ended(frozen), ended(heir)) == (0, 0)
    assert rows(ATTEMPTS)[:2] == [("frozen", 1, "died"), ("heir", 2, "complete")]
    assert "taken over by another worker; dropped" in said("frozen")
    assert "Traceback" not in said("frozen")
    counted = "SELECT number, state, (SELECT count(*) FROM hpo.metrics m WHERE m.trial_id = t.trial_id) FROM trials t"
    assert rows(f"{counted} ORDER BY number") == [(0, "COMPLETE", 10), (1, "COMPLETE", 10)]
    values = rows("SELECT value FROM hpo.learning_curves WHERE number = 0 ORDER BY step")
    assert values == rows("SELECT value FROM hpo.learning_curves WHERE number = 1 ORDER BY step")


def test_checkpoints_are_by_attempt_and_none_outlives_its_trial(
    store: Store, start: Start, said: Said, config: Config
) -> None:
    """Not even one that a worker saved after another had taken the trial over and ended it."""
    create(store, evaluations=2000, seconds=200)
    kept = lambda attempt: list(Path(config.checkpoints).glob(f"*/*/{attempt}-*.safetensors"))  # noqa: E731
    worker = start(name="killed", HPO_CHECKPOINT="0.001")
    wait_until(lambda: kept("0001"))
    worker.kill()
    worker = start(name="heir", HPO_CHECKPOINT="0.001")
    wait_until(lambda: kept("0002"))
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE hpo.attempts SET current = false, ended = now(), outcome = 'died'"))
    wait_until(lambda: "taken over by another worker; dropped" in said("heir"))
    wait_until(lambda: not kept("*"))
    worker.kill()


def test_time_zones_are_no_matter(store: Store, start: Start, rows: Rows) -> None:
    """Neither the worker's own nor its session's: a beat is by the server's clock."""
    create(store, trials=2, evaluations=4, seconds=2)
    zones = ("America/Los_Angeles", "Asia/Tokyo")
    workers = [start(name=zone.rpartition("/")[2], TZ=zone, PGTZ=zone) for zone in zones]
    assert [ended(worker) for worker in workers] == [0, 0]
    assert [(attempt, outcome) for _, attempt, outcome in rows(ATTEMPTS)] == [(1, "complete")] * 2
    recent = "abs(extract(epoch FROM clock_timestamp() - {})) < 120"
    assert rows(
        f"SELECT DISTINCT {recent.format('t.started')}, {recent.format('t.finished')}, {recent.format('a.beat')} "
        "FROM hpo.trials t JOIN hpo.attempts a USING (trial_id)"
    ) == [(True, True, True)]


def test_rows_that_are_not_there_are_one_line(store: Store, config: Config, rows: Rows, tmp_path: Path) -> None:
    """Named with this host, and before a trial is claimed."""
    tree = {"task": "text-classification", "data": "rows.csv"}
    search = {"training.batch_size": [8, 16]}
    kept = TREE | {"objective": tree, "search": search, "folder": str(tmp_path)}
    store.create(StudySpec.from_dict(kept))
    with pytest.raises(HpoError) as refused:
        work(config)
    assert re.fullmatch(
        rf"on {os.uname().nodename}: data\.path: no such file: {tmp_path}/rows\.csv.*", str(refused.value)
    )
    assert rows("SELECT count(*) FROM trials") == [(0,)]


def test_a_trial_that_was_taken_over_is_dropped_before_its_next_evaluation(
    store: Store, start: Start, rows: Rows, said: Said
) -> None:
    create(store, evaluations=1, seconds=3600)
    worker = start()
    wait_until(lambda: rows("SELECT 1 FROM trial_params"))
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE hpo.attempts SET current = false, ended = now(), outcome = 'died'"))
    wait_until(lambda: "taken over by another worker; dropped" in said())
    worker.kill()
