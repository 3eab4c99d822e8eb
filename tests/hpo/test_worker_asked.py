"""What people ask of a study reaches its workers: to pause, to go on, to stop, to drop a trial."""

from __future__ import annotations

from pathlib import Path

from support import wait_until
from workers import ATTEMPTS, STEPS, Rows, Said, Start, create, ended

from hpo import control
from hpo.config import Config
from hpo.store import Store

ME = "me@here"


def test_a_paused_study_is_waited_for_with_a_line_and_resumed(
    store: Store, start: Start, rows: Rows, said: Said
) -> None:
    """By the same worker, from the checkpoint of the evaluation at which it let go."""
    create(store, evaluations=150, seconds=15)
    worker = start()
    wait_until(lambda: rows(STEPS) > [(1,)])
    control.pause(store, "one", ME)
    wait_until(lambda: "is paused; waiting for hpo resume" in said())
    assert rows(ATTEMPTS) == [("a", 1, "released")]
    ((before,),) = rows("SELECT max(step) FROM hpo.metrics")
    control.resume(store, "one", ME)
    assert ended(worker) == 0
    assert said().count("is paused; waiting") == 1
    assert f"continues from the checkpoint of step {before}" in said()
    assert rows(ATTEMPTS) == [("a", 1, "released"), ("a", 2, "complete")]


def test_a_paused_trial_is_let_go_and_the_worker_goes_on_with_others(store: Store, start: Start, rows: Rows) -> None:
    create(store, trials=2, evaluations=80, seconds=8)
    worker = start()
    wait_until(lambda: rows(STEPS) > [(1,)])
    control.pause(store, "one", ME, [0])
    wait_until(lambda: rows("SELECT 1 FROM hpo.trials WHERE number = 1 AND state = 'COMPLETE'"))
    assert rows("SELECT state, activity FROM hpo.trials WHERE number = 0") == [("RUNNING", "paused")]
    control.resume(store, "one", ME, [0])
    assert ended(worker) == 0
    assert rows(ATTEMPTS) == [("a", 1, "released"), ("a", 2, "complete"), ("a", 1, "complete")]


def test_a_worker_of_a_stopped_study_ends_with_a_line(store: Store, start: Start, rows: Rows, said: Said) -> None:
    create(store, evaluations=200, seconds=20)
    worker = start()
    wait_until(lambda: rows(STEPS) > [(1,)])
    control.stop(store, "one", ME)
    assert ended(worker) == 0
    assert (
        said()
        .splitlines()[-1]
        .endswith("info the study was stopped: this worker ends; hpo launch or hpo resume goes on with it")
    )
    assert rows(ATTEMPTS) == [("a", 1, "released")]


def test_a_cancelled_trial_is_dropped_before_its_next_evaluation(
    store: Store, start: Start, rows: Rows, said: Said, config: Config
) -> None:
    """Which would come in an hour. Its checkpoints go with it, and the worker goes on."""
    create(store, evaluations=1, seconds=3600)
    worker = start()
    wait_until(lambda: rows("SELECT 1 FROM trial_params"))
    control.cancel(store, "one", ME, [0])
    assert ended(worker) == 0
    assert f"cancelled by {ME}; dropped" in said()
    assert rows("SELECT state, outcome, error, last_step FROM hpo.trials") == [
        ("FAIL", "cancelled", f"cancelled by {ME}", None)
    ]


def test_the_checkpoints_of_a_cancelled_trial_are_gone(store: Store, start: Start, rows: Rows, config: Config) -> None:
    create(store, evaluations=2000, seconds=200)
    worker = start(HPO_CHECKPOINT="0.001")
    kept = lambda: list(Path(config.checkpoints).glob("*/*/*.safetensors"))  # noqa: E731
    wait_until(kept)
    control.cancel(store, "one", ME, [0])
    assert ended(worker) == 0
    assert kept() == []
