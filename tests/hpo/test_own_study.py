"""Studies of a function of one's own: run by real workers, allowed by name alone, continued after a kill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


def test_code_is_run_only_where_it_is_allowed(hpo: Hpo, file: Path) -> None:
    refused = hpo("launch", "-s", str(file), check=False)
    said = "python.function: owned:curve is code that comes with the study; look at it, then allow it with --allow-code"
    assert (refused.returncode, refused.stderr.count(said)) == (1, 1)


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
