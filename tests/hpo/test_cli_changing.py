"""Commands that change studies, or start and stop a server: what they ask, do and say."""

from __future__ import annotations

import getpass
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import environment, wait_until

from hpo import config as configuration
from hpo import spec as studies
from hpo.config import Config
from hpo.store import open_store

Run = Callable[..., Any]


def test_enqueue_and_delete(run: Run, config: Config, toy_file: Path) -> None:
    with open_store(config) as store:
        store.create(studies.load(toy_file))
    found = run("enqueue", "-s", "toy", "--set", "simulated.batch_size=8", "--set", "objective.simulated.optimizer=sgd")
    assert (found.code, found.out, found.err) == (0, "", "queued; run it with: hpo launch -s toy\n")
    assert json.loads(run("status", "-s", "toy", "--json").out)["waiting"] == 1
    assert run("trials", "-s", "toy").out.splitlines()[-1].split() == ["0", "WAITING", "0", "8", "sgd"]
    refused = run("enqueue", "-s", "toy", "--set", "simulated.batch_size=9")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "simulated.batch_size" in refused.err
    with open_store(config) as store:
        left = Path(config.checkpoints) / store.plan("toy").folder / "0"
    left.mkdir(parents=True)
    (left / "1-1-0.safetensors").write_bytes(b"of a trial that was given back")
    found = run("delete", "-s", "toy", "-y")
    assert (found.code, found.out, found.err) == (0, "", "deleted toy\n")
    assert not left.parent.exists()
    assert left.parent.parent.exists()
    assert run("studies", "--json").out == "[]\n"


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 130, 1), ("", 130, 1)])
def test_delete_asks(
    run: Run,
    config: Config,
    toy_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    left: int,
) -> None:
    with open_store(config) as store:
        store.create(studies.load(toy_file))
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    found = run("delete", "-s", "toy")
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith("Delete toy and its 0 trials? [y/N]: ")
    assert ("nobody is there to answer; -y does it without asking" in found.err) is (answer == "")
    assert len(json.loads(run("studies", "--json").out)) == left


def test_a_study_is_controlled_by_commands(run: Run, config: Config, toy_file: Path) -> None:
    """Each says what it did and how to go on, and is seen in what reads."""
    with open_store(config) as store:
        store.create(studies.load(toy_file, ["enqueue=[{simulated.batch_size: 8}, {simulated.batch_size: 16}]"]))
    me = configuration.who()
    assert me == f"{getpass.getuser()}@{socket.gethostname()}"
    found = run("pause", "-s", "toy", "--trial", "0")
    assert (found.code, found.out, found.err) == (0, "", "paused; go on with: hpo resume -s toy --trial 0\n")
    assert re.search(rf"^ +0 +WAITING .*paused by {me} *$", run("trials", "-s", "toy").out, re.MULTILINE)
    assert run("resume", "-s", "toy", "--trial", "0").err == (
        "resumed toy; where no worker waits, start one: hpo launch -s toy\n"
    )
    assert run("pause", "-s", "toy").err == "paused; go on with: hpo resume -s toy\n"
    assert re.search(
        rf"^state +paused *$.*^asked_by +{me} *$", run("status", "-s", "toy").out, re.MULTILINE | re.DOTALL
    )
    assert run("stop", "-s", "toy").err == "stopped; go on with: hpo launch -s toy\n"
    found = run("cancel", "-s", "toy", "--trial", "0", "--trial", "1")
    assert (found.code, found.err) == (0, "cancelled 2 trials\n")
    shown = run("show", "-s", "toy", "0").out
    assert re.search(rf"^error +cancelled by {me} *$.*^asked +cancel *$", shown, re.MULTILINE | re.DOTALL)
    found = run("requeue", "-s", "toy", "--trial", "1")
    assert (found.code, found.err) == (0, "trial 1 is queued as trial 2\nrun with: hpo launch -s toy\n")
    assert re.search(r"^ +2 +WAITING .*requeued from 1 *$", run("trials", "-s", "toy").out, re.MULTILINE)
    assert run("requeue", "-s", "toy", "--failed").err == (
        "Error: toy: no failed trial is left to queue again; cancelled ones are named with --trial\n"
    )
    for wrong in ((), ("--failed", "--trial", "1")):
        assert run("requeue", "-s", "toy", *wrong).code == 2


@pytest.mark.parametrize(("answer", "code", "failed"), [("y\n", 0, 1), ("n\n", 130, 0), ("", 130, 0)])
def test_cancelling_a_study_asks(
    run: Run, config: Config, toy_file: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, failed: int
) -> None:
    with open_store(config) as store:
        store.create(studies.load(toy_file, ["enqueue=[{simulated.batch_size: 8}]"]))
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    found = run("cancel", "-s", "toy")
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith("Cancel all trials of toy that run or wait, and stop it? [y/N]: ")
    assert ("cancelled 1 trial; toy is stopped" in found.err) is (code == 0)
    left = json.loads(run("status", "-s", "toy", "--json").out)
    assert (left["failed"], left["state"]) == (failed, "stopped" if failed else "open")


def test_a_worker_takes_a_file_and_works_in_this_very_process(hpo: Run, toy_file: Path, config: Config) -> None:
    with open_store(config) as store:
        store.create(studies.load(toy_file))
    found = hpo("worker", "-s", str(toy_file))
    assert found.stdout == ""
    assert "trial=2 info complete" in found.stderr


def test_ctrl_c_ends_a_command_with_130(config: Config) -> None:
    """While it waits for a question's answer."""
    with open_store(config) as store:
        store.create(studies.load(studies.shipped()["spam"]))
    command = [sys.executable, "-m", "hpo", "delete", "-s", "spam"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(config), start_new_session=True, **pipes) as asking:  # type: ignore[call-overload]
        said = b""
        while b"[y/N]" not in said:
            said += asking.stderr.read1()
        # A signal in the instant between Python's last look for one and its read() would not wake the read().
        wait_until(lambda: Path(f"/proc/{asking.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
        asking.send_signal(signal.SIGINT)
        assert asking.wait(30) == 130
        assert b"Traceback" not in asking.stderr.read()


@pytest.mark.parametrize("command", ["start", "stop"])
def test_a_server_of_ones_own_is_not_started_or_stopped(read: Run, command: str) -> None:
    found = read("db", command)
    line = "Error: HPO_DATABASE_URL names a server of your own; only the embedded one is started and stopped here\n"
    assert (found.code, found.err) == (1, line)


def test_the_embedded_server_from_start_to_stop(hpo: Run, tmp_path: Path) -> None:
    """The commands on a home of their own, which root may not hide from the server's account."""
    home = Path(os.environ["TESTS_OF_HPO_HOME"]) / f"commands-{os.getpid()}"
    own = {"HPO_DATABASE_URL": "", "HPO_HOME": str(home)}
    assert json.loads(hpo("db", "status", "--json", **own).stdout)["running"] is False
    assert hpo("db", "stop", **own).stderr == "it was not running\n"
    try:
        assert hpo("db", "start", **own).stderr == "the embedded server keeps running; stop it with: hpo db stop\n"
        found = json.loads(hpo("db", "status", "--json", **own).stdout)
        assert (found["server"], found["running"], found["kept"], found["in_use"]) == ("embedded", True, True, False)
        assert hpo("studies", "--json", **own).stdout == "[]\n"
        assert hpo("db", "url", **own).stdout.startswith(f"postgresql+psycopg2://hpo@127.0.0.1:{found['port']}/hpo?")
    finally:
        assert hpo("db", "stop", "-y", **own).stderr == "stopped\n"
    wait_until(lambda: not json.loads(hpo("db", "status", "--json", **own).stdout)["running"])
