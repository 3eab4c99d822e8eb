"""Stock tools on the same database: Optuna's command, optuna-dashboard, psql, Optuna's own Python API."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from support import environment, wait_until

from hpo import postgres
from hpo.config import Config

pytestmark = pytest.mark.acceptance
Hpo = Callable[..., subprocess.CompletedProcess[str]]
BIN = Path(sys.executable).parent

STUDY = """
study: tools
objective: {simulated: {nan_at: 2, nan_above: 1e-3}}
search:
  simulated.optimizer: [sgd, adam]
  simulated.frozen_layers: {low: 0, high: 6}
  simulated.learning_rate: {low: 1e-4, high: 1e-2, log: true}
sampler: random
pruner: none
trials: 6
"""


@pytest.fixture
def launched(hpo: Hpo, tmp_path: Path) -> str:
    (tmp_path / "tools.yaml").write_text(STUDY)
    hpo("launch", "-s", str(tmp_path / "tools.yaml"), "-w", "1")
    return hpo("db", "url").stdout.strip()


def command(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_stock_optuna_command_shows_the_study(launched: str, hpo: Hpo) -> None:
    listed = json.loads(command(str(BIN / "optuna"), "studies", "--storage", launched, "-f", "json"))
    assert [(study["name"], study["n_trials"]) for study in listed] == [("tools", 6)]
    best = json.loads(
        command(str(BIN / "optuna"), "best-trial", "--storage", launched, "--study-name", "tools", "-f", "json")
    )
    ours = json.loads(hpo("best", "-s", "tools", "--json").stdout)
    assert best["number"] == ours["number"]
    assert best["params"] == ours["params"]


def test_optuna_reads_the_study_from_python(launched: str, hpo: Hpo) -> None:
    storage = optuna.storages.RDBStorage(launched)
    study = optuna.load_study(study_name="tools", storage=storage)
    ours = json.loads(hpo("best", "-s", "tools", "--json").stdout)
    assert (study.best_trial.number, study.best_value, study.best_params) == (
        ours["number"],
        ours["value"],
        ours["params"],
    )
    assert {trial.state.name for trial in study.trials if trial.constraints} == {"PRUNED"}
    assert {trial.state.name for trial in study.trials if not trial.constraints} == {"COMPLETE"}
    storage.engine.dispose()


def serving(process: subprocess.Popen[bytes], port: int) -> dict[str, Any]:
    def answers() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, 60)
    return asked(port, "studies")


def asked(port: int, what: str) -> dict[str, Any]:
    known = urllib.request.Request(f"http://127.0.0.1:{port}/api/{what}", headers={"X-Remote-User": "ada"})
    with urllib.request.urlopen(known, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("stock", [True, False], ids=["optuna-dashboard", "hpo dashboard"])
def test_a_dashboard_serves_the_study(launched: str, config: Config, stock: bool) -> None:
    port = free_port()
    known = ["--trust-header", "X-Remote-User", "--proxy", "127.0.0.1"]
    ours = [sys.executable, "-m", "hpo", "dashboard", "--port", str(port), *known]
    theirs = [str(BIN / "optuna-dashboard"), launched, "--port", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(theirs if stock else ours, env=environment(config), stdout=quiet, stderr=quiet)
    try:
        (study,) = serving(process, port)["study_summaries"]
        assert study["study_name"] == "tools"
        trials = asked(port, f"studies/{study['study_id']}")["trials"]
        assert {trial["state"] for trial in trials} == {"Complete", "Pruned"}
    finally:
        process.terminate()
        process.wait()


def test_a_dashboard_says_that_its_port_is_taken(launched: str, hpo: Hpo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = hpo("dashboard", "--port", str(port), check=False)
    assert said.returncode == 1
    assert said.stderr == f"Error: port {port} on 127.0.0.1: Address already in use; choose another with --port\n"


def test_psql_shows_real_values(launched: str, hpo: Hpo, server: postgres.Server) -> None:
    psql = shutil.which("psql") or str(server.bin / "psql")
    url = hpo("db", "url", "--psql").stdout.strip()
    query = "SELECT name, value FROM hpo.params WHERE study = 'tools' AND number = 0 ORDER BY name"
    values = dict(line.split("|") for line in command(psql, url, "-Atc", query).splitlines())
    first = json.loads(hpo("trials", "-s", "tools", "--json").stdout)[0]["params"]
    assert {name: json.loads(value) for name, value in values.items()} == first
    assert values["simulated.optimizer"] in ('"sgd"', '"adam"')
    best = command(
        psql, url, "-Atc", "SELECT params ->> 'simulated.optimizer' FROM hpo.best_params WHERE study = 'tools'"
    )
    assert best.strip() in ("sgd", "adam")
    assert re.fullmatch(
        r"\d+\|\d+\|6\|[\d.]+\n", command(psql, url, "-Atc", "SELECT trials, complete, made, 1.0 FROM hpo.studies")
    )
