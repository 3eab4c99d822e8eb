"""`hpo watch`: what is asked of the database, and real processes beside a study that runs, pauses and ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from moves import begun, create, evaluate
from support import environment, wait_until

from hpo import control
from hpo.config import Config
from hpo.live import Look
from hpo.report import Report
from hpo.store import Store


@contextmanager
def watching(config: Config, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`hpo watch` on a pipe, its words in a file."""
    command = [sys.executable, "-m", "hpo", "watch", "-s", "toy"]
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment(config))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_trial_that_runs_is_seen_with_its_curve_and_the_best_with_its_age(store: Store) -> None:
    create(store, objective={"simulated": {"evaluations": 7}})
    done = begun(store, "host.1.1")
    evaluate(done, 0.5)
    done.finish("complete")
    evaluate(begun(store, "host.1.2"), 0.9, 0.7)
    state = Look(Report(store.database, store.engine), "toy")()
    (trial,) = state["trials_running"]
    assert (trial["number"], trial["worker"], trial["activity"]) == (1, "host.1.2", "running")
    assert (trial["losses"], trial["epoch"], trial["epochs"]) == ([0.9, 0.7], 1.0, "7")
    assert trial["metrics"]["val_loss"] == 0.7
    assert 0 <= state["best"]["seconds_ago"] < 60
    assert state["best"]["number"] == 0
    assert state["spending"].work > 0


def test_it_stays_while_a_study_is_paused_and_ends_with_it(store: Store, config: Config, tmp_path: Path) -> None:
    output = tmp_path / "said"
    create(store, trials=1)
    trial = begun(store)
    control.pause(store, "toy", "somebody")
    with watching(config, output) as process:
        wait_until(lambda: "paused: 0 done" in output.read_text())
        assert process.poll() is None
        control.resume(store, "toy", "somebody")
        evaluate(trial, 0.25)
        trial.finish("complete")
        assert process.wait(60) == 0
    said = output.read_text()
    assert "toy is complete: 1 complete, 0 pruned, 0 failed" in said
    assert "best val_loss 0.25, trial 0" in said


def test_ctrl_c_ends_it_alone(store: Store, config: Config, tmp_path: Path) -> None:
    output = tmp_path / "said"
    create(store)
    trial = begun(store)
    with watching(config, output) as process:
        wait_until(lambda: "1 running" in output.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "Traceback" not in output.read_text()
    assert not store.beat(trial.claim).held


def test_a_finished_study_is_told_at_once(read: Callable[..., Any]) -> None:
    answer = read("watch", "-s", "toy")
    assert (answer.code, "toy is complete: 3 complete" in answer.err) == (0, True)
    assert "best val_loss" in answer.out


def test_an_unknown_study_is_one_line(read: Callable[..., Any]) -> None:
    answer = read("watch", "-s", "tou")
    assert (answer.code, answer.err.count("\n")) == (1, 1)


def test_on_a_terminal_it_draws_a_frame_and_leaves_none(store: Store, config: Config) -> None:
    create(store, trials=1)
    trial = begun(store)
    evaluate(trial, 0.5)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "hpo", "watch", "-s", "toy"]
    environ = environment(config) | {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    found = bytearray()

    def read() -> None:
        with suppress(OSError):
            while part := os.read(ours, 65536):
                found.extend(part)

    reader = Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: "▁".encode() in found)
        trial.finish("complete")
        assert process.wait(60) == 0
    finally:
        process.kill()
        reader.join()
        os.close(ours)
    text = found.decode()
    assert re.search(r"\x1b\[2K(\x1b\[1A\x1b\[2K)+", text)  # wiped, line by line
    assert "rows/s" not in text.rpartition("toy is complete")[2]


def test_it_waits_while_the_database_is_away(store: Store, config: Config, tmp_path: Path) -> None:
    """As a launch does; here all connections of its database are ended, and new ones refused for a while."""
    import psycopg2

    from hpo.database import parse_url

    url = parse_url(config.database_url or "")
    assert url.database is not None
    admin = psycopg2.connect(
        url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    )
    admin.autocommit = True
    output = tmp_path / "said"
    create(store)
    begun(store)
    with admin.cursor() as cursor, watching(config, output) as process:
        wait_until(lambda: "1 running" in output.read_text())
        cursor.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS false')
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (url.database,))
        wait_until(lambda: "the database does not answer; waiting for it" in output.read_text())
        assert process.poll() is None
        cursor.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS true')
        wait_until(lambda: output.read_text().count("1 running") == 2)
    admin.close()
