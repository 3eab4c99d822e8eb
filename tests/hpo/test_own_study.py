"""Studies of a function of one's own: run by real workers, allowed by name alone, continued after a kill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hpo import spec as studies
from hpo.store import Store

ROOT = Path(__file__).parents[2]
STUDY = """
study: own
objective:
  python: {function: owned:curve, evaluations: 2, rate: 0.5, kind: plain, seed: 1}
search:
  python.rate: {low: 0.1, high: 1.0}
  python.kind: [plain, odd]
sampler: random
pruner: none
trials: 3
"""
CODE = """
import os, signal

def curve(settings, report):
    done = report.folder / "done"
    begun = int(done.read_text()) if done.exists() else 0
    for step in (1, 2):
        if step > begun:
            report({"val_loss": settings["rate"] * (settings["kind"] == "odd" or 0.5) / step}, step=step)
            done.write_text(str(step))
        if step == 1 and not begun:
            os.kill(os.getpid(), signal.SIGKILL)
"""
Hpo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "owned.py").write_text(CODE)
    path = tmp_path / "own.yaml"
    path.write_text(STUDY)
    return path


def test_a_function_is_searched_and_goes_on_where_a_killed_worker_was(hpo: Hpo, file: Path, tmp_path: Path) -> None:
    done = hpo("launch", "-s", str(file), "-w", "1", "--allow-code")
    assert "the function owned:curve" in done.stderr
    trials = json.loads(hpo("trials", "-s", "own", "--json").stdout)
    assert [(trial["state"], trial["attempts"]) for trial in trials] == [("COMPLETE", 2)] * 3
    for trial in trials:
        rate, kind = trial["params"]["python.rate"], trial["params"]["python.kind"]
        assert trial["value"] == pytest.approx(rate * (1.0 if kind == "odd" else 0.5) / 2)
    assert trials[0]["params"] == {"python.rate": 0.5, "python.kind": "plain"}
    assert not list(tmp_path.rglob("own/done"))


CAREFUL = """
import os, psycopg2

def curve(settings, report):
    for step in (1, 2):
        report({"val_loss": 1.0 / step})
        with psycopg2.connect(os.environ["HPO_DATABASE_URL"].replace("+psycopg2", "")) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM hpo.metrics")
            assert cursor.fetchone() == (step,), "not yet recorded"
"""
SLOWLY = (
    "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END'",
    "CREATE TRIGGER slowly BEFORE INSERT ON hpo.metrics FOR EACH ROW EXECUTE FUNCTION slowly()",
)


def test_what_a_function_keeps_is_never_ahead_of_what_is_recorded(hpo: Hpo, store: Store, file: Path) -> None:
    """It saves its own state once `report` returns; a worker killed then would pass over what was on its way."""
    (file.parent / "owned.py").write_text(CAREFUL)
    with store.engine.begin() as connection:
        for statement in SLOWLY:
            connection.execute(text(statement))
    hpo("launch", "-s", str(file), "-w", "1", "--allow-code", "--set", "trials=1")
    (trial,) = json.loads(hpo("trials", "-s", "own", "--json").stdout)
    assert (trial["state"], trial["error"], trial["value"]) == ("COMPLETE", None, 0.5)


def test_code_is_run_only_where_it_is_allowed(hpo: Hpo, file: Path) -> None:
    refused = hpo("launch", "-s", str(file), check=False)
    said = "python.function: owned:curve is code that comes with the study; look at it, then allow it with --allow-code"
    assert (refused.returncode, refused.stderr.count(said)) == (1, 1)
    assert "no studies yet" in hpo("studies").stderr


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("search.python.rat={low: 0, high: 1}", "search.python.rat: unknown setting; did you mean python.rate?"),
        ("search.python.kind={low: 0, high: 1}", "is no number, so it has no low and high; give choices"),
        ("python.function=owned", "python.function"),
        ("python.rate=[1]", "rate is no number, text, true or false"),
    ],
)
def test_what_is_wrong_is_said_by_check(run: Any, file: Path, change: str, line: str) -> None:
    found = run("check", str(file), "--set", change)
    assert (found.code, line in found.err) == (1, True), found.err


def test_a_metric_of_its_own_needs_a_direction(run: Any, file: Path) -> None:
    def said(*overrides: str) -> str:
        return str(run("check", str(file), *(word for one in overrides for word in ("--set", one))).err)

    assert "metric: 'cost' is the function's own: add direction: minimize, or maximize" in said("metric=cost")
    assert said("metric=cost", "direction=maximize", "stop.target=-3") == ""
    assert "'the cost' is no name of a metric" in said("metric=the cost", "direction=minimize")
    assert "direction: accuracy is to maximize; leave direction out" in said("metric=accuracy", "direction=minimize")
    assert "direction" in said("metric=cost", "direction=up")
    other = run("check", "bert-news", "--no-data", "--set", "metric=cost", "--set", "direction=minimize").err
    assert "'cost' is unknown" in other


def test_the_best_is_by_the_direction_that_the_file_gives(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "gains.py").write_text("def gain(settings, report):\n    return {'gain': settings['rate']}\n")
    study = STUDY.replace("owned:curve", "gains:gain")
    (tmp_path / "gains.yaml").write_text(study + "metric: gain\ndirection: maximize\n")
    hpo("launch", "-s", str(tmp_path / "gains.yaml"), "-w", "1", "--allow-code")
    trials = json.loads(hpo("trials", "-s", "own", "--json").stdout)
    best = json.loads(hpo("best", "-s", "own", "--json").stdout)
    assert best["value"] == max(trial["params"]["python.rate"] for trial in trials)
    assert best["metrics"]["gain"] == best["value"]
    shown = hpo("show", "-s", "own", "0").stdout.splitlines()
    assert any(line.split() == ["step", "epoch", "gain"] for line in shown)
    words = ("launch", "-s", str(tmp_path / "gains.yaml"), "-w", "1", "--allow-code", "--as", "other")
    refused = hpo(*words, "--set", "metric=gian", check=False)
    assert refused.returncode == 1
    assert "gains:gain reports gain, and not gian" in hpo("trials", "-s", "other", "--json").stdout


def test_the_classifier_of_the_readme_learns_the_shipped_messages(hpo: Hpo, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, kind in (("words.py", "python"), ("words.yaml", "yaml")):
        (tmp_path / name).write_text(readme.partition(f"```{kind} {name}\n")[2].partition("```")[0])
    rows = studies.find("spam").parent / "data" / "messages.csv"
    words = ("--set", f"python.rows={rows}", "--set", "python.label=label", "--set", "trials=2")
    hpo("launch", "-s", str(tmp_path / "words.yaml"), "-w", "1", "--allow-code", *words)
    best = json.loads(hpo("best", "-s", "words", "--json").stdout)
    assert 0 < best["value"] < 0.22  # of 430 messages 100 are spam: always ham is 0.23 wrong
