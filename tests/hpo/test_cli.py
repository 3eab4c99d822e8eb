"""The commands as a person and as a script meets them: answers, exit codes, help, and what they import."""

from __future__ import annotations

import csv
import getpass
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from support import environment, wait_until

from hpo import config as configuration
from hpo import spec as studies
from hpo.cli import COMMANDS, group
from hpo.config import Config
from hpo.store import open_store

Run = Callable[..., Any]
PARAMS = ["simulated.learning_rate", "simulated.batch_size", "simulated.optimizer"]
UNKNOWN = "Error: nowhere: no such study in the database; hpo studies lists them, hpo launch makes one"


def every_command(inside: click.Group = group, *names: str) -> Iterator[tuple[str, ...]]:
    """The path of each command: ("best",), ("db", "url"), ..."""
    for name in inside.list_commands(click.Context(inside)):
        found = inside.get_command(click.Context(inside), name)
        yield (*names, name)
        if isinstance(found, click.Group):
            yield from every_command(found, *names, name)


def command_at(*path: str) -> click.Command:
    found: click.Command = group
    for name in path:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None, path
        found = inner
    return found


ALL = list(every_command())


def test_studies_as_a_table_and_as_json(read: Run) -> None:
    table = read("studies").out.splitlines()
    words = [" ".join(line.split()) for line in table]
    assert words[0] == "study state trials complete pruned failed running waiting remaining metric created"
    assert words[1].startswith("toy complete 3 3 0 0 0 0 0 val_loss ")
    (found,) = json.loads(read("studies", "--json").out)
    assert (found["study"], found["state"], found["direction"]) == ("toy", "complete", "minimize")


def test_status_as_a_table_and_as_json(read: Run) -> None:
    said = read("status", "-s", "toy").out
    assert re.search(r"^complete +3 *$", said, re.MULTILINE)
    assert re.search(r"^best val_loss [\d.]+, trial \d, epoch 2$", said, re.MULTILINE)
    found = json.loads(read("status", "-s", "toy", "--json").out)
    assert (found["complete"], found["trials_running"], found["best"]["study"]) == (3, [], "toy")
    assert "spec" not in found


def test_trials_as_a_table_as_json_and_as_csv(read: Run) -> None:
    table = read("trials", "-s", "toy").out.splitlines()
    columns = " ".join(table[0].split())
    assert columns == "trial state value step attempts learning_rate batch_size optimizer note"
    found = json.loads(read("trials", "-s", "toy", "--json").out)
    assert [row["number"] for row in found] == [0, 1, 2]
    assert [line.split()[:2] for line in table[1:]] == [[str(n), "COMPLETE"] for n in range(3)]
    for row in found:
        assert list(row["params"]) == PARAMS
        assert (row["state"], row["attempts"], row["metrics"]["val_loss"]) == ("COMPLETE", 1, row["value"])
    lines = list(csv.DictReader(io.StringIO(read("trials", "-s", "toy", "--csv").out)))
    assert [float(line["value"]) for line in lines] == [row["value"] for row in found]
    assert [line["params.simulated.optimizer"] for line in lines] == [row["params"][PARAMS[2]] for row in found]


def test_show_as_tables_and_as_json(read: Run) -> None:
    said = read("show", "-s", "toy", "1").out
    for words in ("number *1", "state *COMPLETE", r"simulated\.optimizer *(adamw|sgd)", " *1 *here.1.1 .* complete"):
        assert re.search(rf"^{words} *$", said, re.MULTILINE), words
    assert re.search(r"^curve *\nstep +epoch +val_loss.*\n *1 .*\n *2 ", said, re.MULTILINE)
    found = json.loads(read("show", "-s", "toy", "1", "--json").out)
    assert (found["number"], len(found["curve"]), len(found["history"])) == (1, 2, 1)
    assert found["settings"]["simulated"]["evaluations"] == 2


def test_show_says_settings_host_and_what_it_ran_on(read: Run) -> None:
    said = read("show", "-s", "toy", "1").out
    assert re.search(r"^host +here *$", said, re.MULTILINE)
    assert re.search(r"^ran on +device=\S+", said, re.MULTILINE)
    (settings,) = re.findall(r"^simulated  .*$", said, re.MULTILINE)
    assert "evaluations=2" in settings
    assert "fail_at" not in settings  # null
    assert "optimizer=" not in settings  # a parameter, and shown as such


def test_status_and_show_as_csv(read: Run) -> None:
    (line,) = csv.DictReader(io.StringIO(read("status", "-s", "toy", "--csv").out))
    best = json.loads(read("best", "-s", "toy", "--json").out)
    assert (line["study"], line["complete"], float(line["best.value"])) == ("toy", "3", best["value"])
    assert not {"spec", "trials_running"} & set(line)
    lines = list(csv.DictReader(io.StringIO(read("show", "-s", "toy", "1", "--csv").out)))
    curve = json.loads(read("show", "-s", "toy", "1", "--json").out)["curve"]
    assert [(line["step"], float(line["metrics.val_loss"])) for line in lines] == [
        (str(row["step"]), row["metrics"]["val_loss"]) for row in curve
    ]


def test_best_as_tables_and_as_json(read: Run) -> None:
    found = json.loads(read("best", "-s", "toy", "--json").out)
    assert {"study", "number", "value", "params", "metrics"} <= set(found)
    trials = json.loads(read("trials", "-s", "toy", "--json").out)
    assert found["value"] == min(trial["value"] for trial in trials) == found["metrics"]["val_loss"]
    assert found["params"] == trials[found["number"]]["params"]
    said = read("best", "-s", "toy").out
    assert f"best val_loss {found['value']:.5g}, trial {found['number']}, epoch 2" in said
    assert re.search(r"^accuracy +[\d.]+ *$", said, re.MULTILINE)


def test_export_to_files_and_to_stdout(read: Run, tmp_path: Path) -> None:
    files = {suffix: tmp_path / f"trials.{suffix}" for suffix in ("csv", "json")}
    for file in files.values():
        assert read("export", "-s", "toy", "--out", str(file)).out == ""
    rows = json.loads(files["json"].read_text())
    assert files["csv"].read_text() == read("export", "-s", "toy").out == read("trials", "-s", "toy", "--csv").out
    assert [row["value"] for row in rows] == [
        row["value"] for row in json.loads(read("trials", "-s", "toy", "--json").out)
    ]


@pytest.mark.parametrize(
    ("out", "line"),
    [
        ("trials.xlsx", "Error: --out trials.xlsx: a file ending in .csv or .json is right\n"),
        ("/nowhere/trials.csv", "Error: --out /nowhere/trials.csv: No such file or directory\n"),
    ],
)
def test_export_to_a_file_that_cannot_be(read: Run, out: str, line: str) -> None:
    found = read("export", "-s", "toy", "--out", out)
    assert (found.code, found.out, found.err) == (1, "", line)


ENTRIES = """2026-01-02T03:04:06.000+01:00 trial=1 info attempt 1
2026-01-02T03:04:08.000+01:00 trial=2 error failed
Traceback (most recent call last):
ValueError: trial=1 is no entry
"""
OTHER = """2026-01-02T03:04:05.000+01:00 trial=- warning first
2026-01-02T03:04:07.000+01:00 trial=12 info attempt 1
half a li"""


def test_logs_are_in_order_of_time_and_by_trial(read: Run, toy: Config) -> None:
    folder = toy.logs / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.1.1.log").write_text(ENTRIES)
    (folder / "a.1.2.log").write_text(OTHER)
    first, second = ENTRIES.splitlines(keepends=True), OTHER.splitlines(keepends=True)
    assert read("logs", "-s", "toy").out == "".join([second[0], first[0], second[1], *first[1:]])
    assert read("logs", "-s", "toy", "--trial", "1").out == first[0]
    assert read("logs", "-s", "toy", "--trial", "2").out == "".join(first[1:])


def test_logs_that_are_not_here(read: Run, toy: Config) -> None:
    found = read("logs", "-s", "nowhere")
    line = f"Error: nowhere: no logs in {toy.logs / 'nowhere'}; logs stay on the machine whose workers write them\n"
    assert (found.code, found.err) == (1, line)


def test_following_the_logs_ends_with_ctrl_c(config: Config) -> None:
    """130, what came meanwhile is shown, and no traceback."""
    file = config.logs / "toy" / "a.log"
    file.parent.mkdir(parents=True)
    file.write_text(ENTRIES)
    command = [sys.executable, "-m", "hpo", "logs", "-s", "toy", "-f"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(config), **pipes) as following:  # type: ignore[call-overload]
        for _ in range(4):
            following.stdout.readline()
        with file.open("a") as log:
            log.write("2026-01-02T03:04:09.000+01:00 trial=3 info late\n")
        assert following.stdout.readline().endswith("late\n")
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
        assert following.stderr.read().strip() == ""


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
    found = run("delete", "-s", "toy", "-y")
    assert (found.code, found.out, found.err) == (0, "", "deleted toy\n")
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


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "cancel", "requeue"])
def test_a_study_that_is_not_there_is_controlled_by_nobody(run: Run, verb: str) -> None:
    options = {"cancel": ["-y"], "requeue": ["--failed"]}.get(verb, [])
    found = run(verb, "-s", "nowhere", *options)
    assert (found.code, found.err) == (1, f"{UNKNOWN}\n")


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


def test_check_prints_the_study_to_be_read_again(run: Run, toy_file: Path, tmp_path: Path) -> None:
    found = run("check", str(toy_file), "--set", "trials=7")
    assert (found.code, found.err) == (0, "")
    again = tmp_path / "again.yaml"
    again.write_text(found.out)
    assert replace(studies.load(again), folder=None) == replace(studies.load(toy_file, ["trials=7"]), folder=None)
    assert run("check", str(again)).out == found.out


def test_check_reads_the_data_unless_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    search = "search: {training.batch_size: [8, 16]}"
    file.write_text(f"study: s\nobjective: {{task: text-classification, data: nowhere.csv}}\n{search}\n")
    found = run("check", str(file))
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith(f"Error: {file}: objective.data.path: no such file: {tmp_path / 'nowhere.csv'}")
    assert found.err.count("\n") == 1
    assert run("check", str(file), "--no-data").code == 0


def test_empty_answers_are_no_errors(run: Run, config: Config, toy_file: Path) -> None:
    found = run("studies")
    assert (found.code, found.out) == (0, "")
    assert found.err == "no studies yet; start one: hpo launch --study bert-news\n"
    assert run("studies", "--json").out == "[]\n"
    with open_store(config) as store:
        store.create(studies.load(toy_file))
    assert run("trials", "-s", "toy", "--json").out == "[]\n"
    assert run("trials", "-s", "toy", "--csv").out.strip() == ""
    assert run("trials", "-s", "toy").code == 0
    found = run("best", "-s", "toy")
    line = "Error: toy: no trial is complete yet; hpo status -s toy shows how it stands\n"
    assert (found.code, found.out, found.err) == (1, "", line)


OF_A_STUDY = [
    *([["status"], ["trials"], ["trials", "--json"], ["trials", "--csv"], ["show", "0"], ["best"], ["best", "--json"]]),
    *([["export"], ["delete", "-y"], ["enqueue", "--set", "simulated.batch_size=8"]]),
]


@pytest.mark.parametrize("command", OF_A_STUDY, ids=" ".join)
def test_an_unknown_study_is_one_line(read: Run, command: list[str]) -> None:
    found = read(*command, "-s", "nowhere")
    assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
    assert found.err.startswith(UNKNOWN)


def test_an_unknown_trial_is_one_line(read: Run) -> None:
    found = read("show", "-s", "toy", "99")
    assert (found.code, found.err) == (1, "Error: toy: there is no trial 99; hpo trials -s toy lists them\n")


READING = [command for command in OF_A_STUDY if command[0] not in ("delete", "enqueue")]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_study_may_be_named_by_its_file(
    read: Run, command: list[str], toy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy_file.parent)
    by_name = read(*command, "-s", "toy")
    assert by_name.code == 0
    for path in (str(toy_file), "toy.yaml", "./toy.yaml"):
        assert read(*command, "-s", path) == by_name


@pytest.mark.parametrize("command", [*OF_A_STUDY, ["logs"], ["launch"]], ids=" ".join)
def test_a_file_that_is_not_there_is_one_line(read: Run, command: list[str]) -> None:
    found = read(*command, "-s", "nowhere.yaml")
    assert (found.code, found.out, found.err) == (1, "", "Error: nowhere.yaml: no such study file\n")


def test_a_shipped_study_goes_by_its_name_and_its_file(run: Run, config: Config) -> None:
    file = studies.shipped()["spam"]
    with open_store(config) as store:
        store.create(studies.load(file))
    for name in ("spam", str(file)):
        found = run("status", "-s", name, "--json")
        assert json.loads(found.out)["study"] == "spam", found.err
        assert run("enqueue", "-s", name, "--set", "training.label_smoothing=0.1").code == 0


def test_a_worker_takes_a_file_and_works_in_this_very_process(hpo: Run, toy_file: Path, config: Config) -> None:
    with open_store(config) as store:
        store.create(studies.load(toy_file))
    found = hpo("worker", "-s", str(toy_file))
    assert found.stdout == ""
    assert "trial=2 info complete" in found.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "Usage: hpo"),
        (["lauch"], "Error: no such command: lauch; did you mean launch?"),
        (["stat"], "Error: no such command: stat; did you mean status?"),
        (["xyz"], "Error: no such command: xyz\n"),
        (["trials"], "Missing option '-s' / '--study'"),
        (["trials", "-s", "toy", "--jsn"], "No such option '--jsn'"),
        (["show", "-s", "toy", "one"], "'one' is not a valid integer"),
        (["launch", "-s", "toy", "-w", "0"], "0 is not in the range x>=1"),
        (["enqueue", "-s", "toy"], "Missing option '--set'"),
        (["check"], "Missing argument 'FILE'"),
        (["db", "urls"], "No such command 'urls'"),
    ],
)
def test_wrong_usage_is_2_on_stderr(run: Run, command: list[str], said: str) -> None:
    found = run(*command)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_on_stdout(run: Run, path: tuple[str, ...], flag: str) -> None:
    found = run(*path, flag)
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"Usage: hpo {' '.join(path)} ")


def test_the_list_of_commands_needs_none_of_them() -> None:
    program = (
        "import sys, hpo.cli\ntry: hpo.cli.main(['--help'])\n"
        "finally: print(sorted(name for name in sys.modules if 'hpo' in name))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.splitlines()[-1] == "['hpo', 'hpo.cli', 'hpo.errors']"
    words = " ".join(found.split())
    for name, (_, said) in COMMANDS.items():
        assert f" {name} {said}" in words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_help_says(name: str) -> None:
    first = " ".join(str(command_at(name).help).split("\n\n")[0].split())
    assert COMMANDS[name][1] == first


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_every_help_ends_with_an_example_that_parses(path: tuple[str, ...]) -> None:
    last = str(command_at(*path).help).strip().split("\n")[-1].strip()
    assert last.startswith("Example: "), last
    examples = re.findall(r"\$\((hpo [^)]*)\)|^(?:\w+=\S+ )*(hpo .*)$", last.removeprefix("Example: "))
    assert examples, last
    for example in ("".join(found) for found in examples):
        words = shlex.split(example.partition(" > ")[0])[1:]
        found: click.Command = group
        while isinstance(found, click.Group):
            found = command_at(*([*path, words.pop(0)][-1:] if found is group else [path[0], words.pop(0)]))
        found.make_context("hpo", words)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_an_example_is_of_its_own_command(path: tuple[str, ...]) -> None:
    command = command_at(*path)
    if not isinstance(command, click.Group):
        assert f"hpo {' '.join(path)}" in str(command.help).strip().split("\n")[-1]


def test_a_study_of_an_example_is_shipped() -> None:
    named = {name for path in ALL for name in re.findall(r"(?:-s|--study|check) ([\w-]+)", str(command_at(*path).help))}
    assert named
    assert named <= set(studies.shipped())


IMPORTS = """
import contextlib, io, json, sys
import hpo.cli

def run(*arguments):
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            hpo.cli.main(list(arguments))
        except SystemExit as ended:
            assert not ended.code, arguments

study = sys.argv[1]
for command in ("status", "trials", "best", "export"):
    run(command, "-s", study)
for command in ("status", "trials", "best"):
    run(command, "-s", study, "--json")
run("trials", "-s", study, "--csv")
run("show", "-s", study, "0")
run("studies")
run("db", "url")
heavy = {"optuna", "torch", "transformers", "datasets", "scipy"}
print(sorted({name.partition(".")[0] for name in sys.modules} & heavy))
"""


@pytest.mark.parametrize("by", ["name", "file"])
def test_reading_imports_neither_optuna_nor_torch(toy: Config, toy_file: Path, by: str) -> None:
    command = [sys.executable, "-c", IMPORTS, "toy" if by == "name" else str(toy_file)]
    found = subprocess.run(command, env=environment(toy), capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "command",
    [
        ["trials", "-s", "toy"],
        ["trials", "-s", "toy", "--json"],
        ["trials", "-s", "toy", "--csv"],
        ["best", "-s", "toy"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_error(toy: Config, command: list[str], unbuffered: str) -> None:
    """As `hpo trials | head -1` closes it, however much is still to be written."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    environ = environment(toy) | {"PYTHONUNBUFFERED": unbuffered}
    found = subprocess.run(
        [sys.executable, "-m", "hpo", *command], env=environ, stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert found.stderr == b""


def test_no_line_is_wrapped_where_the_output_is_no_terminal(read: Run) -> None:
    assert len(read("trials", "-s", "toy", COLUMNS="30").out.splitlines()) == 4
    assert len(read("studies", COLUMNS="30").out.splitlines()) == 2
    shown = read("show", "-s", "toy", "0", COLUMNS="30")
    assert shown == read("show", "-s", "toy", "0", COLUMNS="300")


def test_an_answer_has_no_colours_where_the_output_is_no_terminal(read: Run) -> None:
    for command in (["trials", "-s", "toy"], ["show", "-s", "toy", "0"], ["best", "-s", "toy"]):
        assert "\x1b" not in read(*command).out


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


def test_a_port_that_is_taken(read: Run) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = read("dashboard", "--port", str(port))
    line = f"Error: port {port} on 127.0.0.1: Address already in use; choose another with --port\n"
    assert (found.code, found.err) == (1, line)
