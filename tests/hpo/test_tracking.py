"""Trials in MLflow: each once, with its parameters, its curve and how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from moves import begun, create, evaluate
from support import environment

from hpo.config import Config
from hpo.store import Store

# MLflow's own reader, in a process that takes no warnings for errors.
LOOK = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name("toy").experiment_id
found = []
for run in client.search_runs([experiment]):
    curve = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val_loss")]
    times = [run.info.start_time, run.info.end_time]
    found.append({"id": run.info.run_id, "status": run.info.status, "curve": curve, "times": times,
                  "tags": run.data.tags, "params": run.data.params, "metrics": run.data.metrics})
print(json.dumps(found))
"""
BREAK = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).update_run(sys.argv[2], 'RUNNING')"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def python(config: Config, *words: str) -> subprocess.CompletedProcess[str]:
    environ = environment(config) | {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    return subprocess.run([sys.executable, *words], env=environ, capture_output=True, text=True, check=True)


def export(config: Config, uri: str) -> str:
    return python(config, "-m", "hpo", "export", "-s", "toy", "--mlflow", uri).stderr


def runs(config: Config, uri: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(python(config, "-c", LOOK, uri).stdout)
    return found


def test_each_trial_is_a_run_once(toy: Config, read: Run, uri: str) -> None:
    assert export(toy, uri) == "toy: 3 trials written, 0 were there\n"
    assert export(toy, uri) == "toy: 0 trials written, 3 were there\n"
    (parent,) = [run for run in runs(toy, uri) if "hpo.trial" not in run["tags"]]
    made = {int(run["tags"]["hpo.trial"]): run for run in runs(toy, uri) if run is not parent and run != parent}
    trials = json.loads(read("trials", "-s", "toy", "--json").out)
    assert sorted(made) == [trial["number"] for trial in trials]
    for trial in trials:
        run = made[trial["number"]]
        assert (run["status"], run["tags"]["mlflow.parentRunId"]) == ("FINISHED", parent["id"])
        assert run["params"] == {name: str(value) for name, value in trial["params"].items()}
        curve = json.loads(read("show", "-s", "toy", str(trial["number"]), "--json").out)["curve"]
        assert run["curve"] == [[row["step"], row["value"]] for row in curve]
        assert 1.6e12 < run["times"][0] <= run["times"][1]
    best = json.loads(read("best", "-s", "toy", "--json").out)
    assert parent["tags"]["hpo.best_trial"] == str(best["number"])
    assert parent["metrics"] == {"best val_loss": best["value"]}


def test_what_a_killed_export_left_open_is_written_again(toy: Config, uri: str) -> None:
    export(toy, uri)
    broken = next(run for run in runs(toy, uri) if run["tags"].get("hpo.trial") == "1")
    python(toy, "-c", BREAK, uri, broken["id"])
    assert export(toy, uri) == "toy: 1 trials written, 2 were there\n"
    again = [run for run in runs(toy, uri) if run["tags"].get("hpo.trial") == "1"]
    assert [(run["status"], run["id"] != broken["id"]) for run in again] == [("FINISHED", True)]


def test_a_study_that_went_on_shows_its_new_best(store: Store, config: Config, uri: str) -> None:
    create(store)
    for value, words in ((0.5, "1 trials written, 0 were there"), (0.3, "1 trials written, 1 were there")):
        trial = begun(store)
        evaluate(trial, value)
        trial.finish("complete")
        assert export(config, uri) == f"toy: {words}\n"
        (parent,) = [run for run in runs(config, uri) if "hpo.trial" not in run["tags"]]
        assert parent["metrics"] == {"best val_loss": value}


def test_another_study_of_the_name_has_runs_of_its_own(store: Store, config: Config, uri: str) -> None:
    for value in (0.5, 0.7):
        create(store)
        trial = begun(store)
        evaluate(trial, value)
        trial.finish("complete")
        assert export(config, uri) == "toy: 1 trials written, 0 were there\n"
        store.delete("toy")
    found = [run["metrics"] for run in runs(config, uri) if "hpo.trial" not in run["tags"]]
    assert sorted(metrics["best val_loss"] for metrics in found) == [0.5, 0.7]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--mlflow", "http://me:secret@127.0.0.1:1"], "Error: --mlflow: leave the password out of the URL; "),
        (["--mlflow", "nowhere://x"], "Error: --mlflow nowhere://x: "),
        (["--mlflow", "http://127.0.0.1:1"], "Error: --mlflow http://127.0.0.1:1: "),
        (["--mlflow", "sqlite:///x.db", "--out", "x.csv"], "Error: give --out or --mlflow, not both"),
    ],
)
def test_places_that_are_none(read: Run, words: list[str], line: str) -> None:
    found = read("export", "-s", "toy", *words)
    assert (found.code > 0, found.out, found.err.count("\n")) == (True, "", 1 + 3 * (found.code == 2))
    assert line in found.err
    assert "secret" not in found.err
