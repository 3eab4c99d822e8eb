"""`hpo launch` where something is wrong or different: workers that cannot start, a detached launch, other names."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moves import begun, evaluate
from support import environment, wait_until

from hpo import spec as studies
from hpo.config import Config
from hpo.spec import StudySpec
from hpo.store import Store

Hpo = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., Any]
TEXT = """
study: toy
objective: {{simulated: {simulated}}}
search: {{simulated.dropout: {{low: 0.0, high: 0.5}}}}
sampler: random
pruner: none
trials: {trials}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    def write(trials: int = 2, **simulated: Any) -> str:
        path = tmp_path / "toy.yaml"
        path.write_text(TEXT.format(trials=trials, simulated=json.dumps({"evaluations": 2, **simulated})))
        return str(path)

    return write


@pytest.fixture
def launched(config: Config) -> Callable[[str], contextlib.AbstractContextManager[subprocess.Popen[str]]]:
    """A launch beside the test, ended with the block."""

    @contextlib.contextmanager
    def launch(file: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "hpo", "launch", "-s", file]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment(config), text=True, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    return launch


def trials(run: Run, study: str = "toy") -> list[dict[str, Any]]:
    said = run("trials", "-s", study, "--json")
    assert said.code == 0, said.err
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def status(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("status", "-s", "toy", "--json").out)
    return found


def test_a_launch_answers_on_stdout_and_tells_on_stderr(hpo: Hpo, written: Callable[..., str]) -> None:
    done = hpo("launch", "-s", written())
    assert done.stdout.lstrip().startswith("best val_loss ")
    assert done.stderr.startswith("toy: 2 trials, random + none, minimize val_loss\n")
    assert "toy: 2 complete, 0 pruned, 0 failed" in done.stderr
    assert "hpo trials -s toy" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_launch_says_what_reading_the_rows_met(run: Run, tmp_path: Path) -> None:
    """Notices and doubts come before a study is made: here one of a size that its rows do not have."""
    pairs = [f"it costs {number} é,{('News', 'news', 'Sport')[number % 3]}" for number in range(30)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(pairs) + "\n", "cp1252")
    (tmp_path / "rows.yaml").write_text(
        "study: rows\nobjective: {task: text-classification, data: {path: rows.csv, clean: {deduplicate: true}}}\n"
        "search: {training.batch_size: [8, 16]}\nmetric: 'recall[Sports]'\n"
    )
    found = run("launch", "-s", str(tmp_path / "rows.yaml"), HPO_GRACE="60")
    first, *_, second, last = found.err.splitlines()
    assert first.endswith("rows.csv: is read as cp1252, a guess; if letters look wrong, set data.encoding")
    assert second.startswith("label: 'News', 'news' are 2 classes, though they differ in spelling alone; ")
    assert last.endswith("metric: 'recall[Sports]' names no class of label; did you mean Sport?")


@pytest.mark.acceptance
def test_workers_that_cannot_work_end_the_launch_with_their_line(
    hpo: Hpo, run: Run, store: Store, tmp_path: Path
) -> None:
    """A study that came from elsewhere goes on by its name; what it needs is first looked for by the workers."""
    tree = {
        "study": "lost",
        "objective": {"task": "text-classification", "data": "rows.csv"},
        "search": {"training.batch_size": [8, 16]},
        "trials": 2,
        "folder": str(tmp_path),
    }
    store.create(StudySpec.from_dict(tree))
    done = hpo("launch", "-s", "lost", "-w", "2", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    errors = [line for line in done.stderr.splitlines() if "rror" in line]
    assert len(errors) == 1, done.stderr
    assert re.match(rf"Error: .*data\.path: no such file: {tmp_path}/rows\.csv", errors[0])
    assert done.stderr.splitlines()[-1] == errors[0]
    assert trials(run, "lost") == []


def test_workers_that_crash_at_once_stop_the_launch(
    hpo: Hpo, run: Run, written: Callable[..., str], tmp_path: Path
) -> None:
    """Python runs a sitecustomize before anything else: here, one that kills workers and nobody else."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\nif 'hpo.worker' in sys.orig_argv:\n    os.kill(os.getpid(), 11)\n"
    )
    done = hpo("launch", "-s", written(), check=False, PYTHONPATH=str(broken))
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines.count("worker 1 ended with signal SIGSEGV; it is replaced") == 3
    assert re.fullmatch(
        r"Error: 3 workers in a row did not start \(signal SIGSEGV\); see \S+/logs/toy/\S+\.log", lines[-1]
    )
    assert "Traceback" not in done.stderr
    assert trials(run) == []


@pytest.mark.acceptance
def test_a_trial_that_kills_its_workers_does_not_stop_the_study(
    hpo: Hpo, run: Run, written: Callable[..., str]
) -> None:
    done = hpo("launch", "-s", written(trials=1, exit_at=1), check=False)
    assert done.stderr.count("worker 1 ended with signal SIGKILL; it is replaced") == 3
    (trial,) = trials(run)
    assert (trial["state"], trial["attempts"]) == ("FAIL", 3)
    assert trial["error"].startswith(
        "its worker died 3 times in a row without a new evaluation; see hpo logs. The last"
    )
    history = json.loads(run("show", "-s", "toy", "0", "--json").out)["history"]
    assert [row["outcome"] for row in history] == ["died", "died", "fail"]


def test_a_study_whose_first_trials_fail_alike_ends_with_the_error(
    hpo: Hpo, run: Run, written: Callable[..., str]
) -> None:
    done = hpo("launch", "-s", written(trials=8, fail_at=1), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "Error: the first trials all failed with: RuntimeError: simulated failure at evaluation 1; "
        "mend it and launch again"
    )
    assert status(run)["state"] == "failed"


@pytest.fixture
def ending() -> Iterator[list[int]]:
    """Processes in sessions of their own, by pid; what still runs ends with the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.acceptance
def test_a_detached_launch_runs_on(
    hpo: Hpo, run: Run, config: Config, written: Callable[..., str], ending: list[int]
) -> None:
    done = hpo("launch", "-s", written(trials=1, evaluations=1000, seconds=100), "--detach")
    said = re.search(r"runs in the background as process (\d+): hpo status -s toy, hpo logs -s toy -f\n", done.stderr)
    assert said, done.stderr
    ending.append(pid := int(said[1]))
    assert done.stderr.endswith(f"stop it: kill {pid}\n")
    assert done.stdout == ""
    wait_until(lambda: status(run)["state"] == "running")
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: status(run)["state"] == "open")
    assert [trial["activity"] for trial in trials(run)] == ["paused"]
    log = (config.logs / "toy" / "launch.log").read_text()
    assert "stopping: trials end at their next evaluation" in log
    assert "Traceback" not in log


def test_a_detached_launch_that_ends_at_once_says_where_to_look(
    hpo: Hpo, config: Config, written: Callable[..., str]
) -> None:
    done = hpo("launch", "-s", written(), "--detach", "--devices", "0", check=False, CUDA_VISIBLE_DEVICES="")
    line = "Error: --devices 0: CUDA_VISIBLE_DEVICES is empty here, which hides every device\n"
    assert (done.returncode, done.stderr) == (1, line)


@pytest.mark.acceptance
def test_another_name_and_more_trials(hpo: Hpo, run: Run, written: Callable[..., str]) -> None:
    """The same file under another name is another study; more trials extend one, fewer change nothing that is there."""
    file = written()
    hpo("launch", "-s", file)
    hpo("launch", "-s", file, "--as", "toy-2", "--set", "trials=1")
    assert [row["study"] for row in json.loads(run("studies", "--json").out)] == ["toy", "toy-2"]
    assert (len(trials(run)), len(trials(run, "toy-2"))) == (2, 1)
    first = trials(run)
    done = hpo("launch", "-s", file, "--set", "trials=3")
    assert "toy: 3 complete" in done.stderr
    assert trials(run)[:2] == first
    assert len(trials(run)) == 3
    again = hpo("launch", "-s", file, "--set", "trials=1")
    assert "toy is complete" in again.stderr
    assert len(trials(run)) == 3


def test_a_study_goes_on_by_its_name_alone(hpo: Hpo, run: Run, written: Callable[..., str], store: Store) -> None:
    store.create(studies.load(Path(written())))
    for _ in range(2):
        evaluate(begun(store)).finish("complete")
    run("enqueue", "-s", "toy", "--set", "simulated.dropout=0.25")
    hpo("launch", "-s", "toy")
    assert trials(run)[2]["params"] == {"simulated.dropout": 0.25}
    assert [trial["state"] for trial in trials(run)] == ["COMPLETE"] * 3


def test_a_changed_search_is_refused_with_both_ways_out(run: Run, written: Callable[..., str], store: Store) -> None:
    store.create(studies.load(Path(written())))
    done = run("launch", "-s", written(evaluations=5))
    assert (done.code, done.out) == (1, "")
    assert "objective.simulated.evaluations: 2 -> 5" in done.err
    assert "start a new one with --as toy-2, or remove the old one: hpo delete --study toy" in done.err
    assert "; to go on with it as it was made: --set simulated.evaluations=2\n" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-s", "toy"], "'toy' is no study file and no shipped study"),
        (["-s", "bert-new"], "did you mean bert-news?"),
        (["-s", "toy.yaml", "--set", "simulated.dropuot=1"], "did you mean"),
        (["-s", "toy.yaml", "--set", "trials"], "trials"),
        (["-s", "toy.yaml", "--as", "a b"], "study: 'a b' has ' ' in it; letters, digits and . _ - are right"),
    ],
)
def test_what_cannot_be_launched_is_one_line(
    run: Run,
    written: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written()
    found = run("launch", *arguments)
    assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
    assert found.err.startswith("Error: ")
    assert line in found.err


def test_a_stopped_launch_says_so_and_the_next_one_goes_on(
    run: Run, written: Callable[..., str], launched: Any, rows: Callable[[str], list[Any]]
) -> None:
    file = written(trials=1, evaluations=2000, seconds=600)
    for attempts in (1, 2):
        with launched(file) as launch:
            running = [(attempts, "running")]
            wait_until(lambda: rows("SELECT attempts, activity FROM hpo.trials") == running, 150)  # noqa: B023
            run("stop", "-s", "toy")
            _, said = launch.communicate(timeout=150)
        assert launch.returncode == 0
        assert re.search(r"^stopped by \S+@\S+; go on with: hpo launch -s \S+toy.yaml$", said, re.MULTILINE), said
        assert (re.match(r"toy was stopped by \S+@\S+; it goes on\n", said) is not None) is (attempts == 2)
    assert status(run)["state"] == "stopped"


def test_a_paused_launch_waits_and_says_for_what(
    run: Run, written: Callable[..., str], launched: Any, store: Store
) -> None:
    file = written(trials=1)
    store.create(studies.load(Path(file)))
    run("pause", "-s", "toy")
    with launched(file) as launch:
        wait_until(lambda: "paused; waiting for hpo resume" in run("logs", "-s", "toy").out, 150)
        run("resume", "-s", "toy")
        _, said = launch.communicate(timeout=150)
    assert launch.returncode == 0
    assert re.search(r"^paused by \S+@\S+; workers wait for: hpo resume -s toy$", said, re.MULTILINE), said
    assert status(run)["complete"] == 1
