"""What the commands that only read answer, in which forms, and that they stay light."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from support import environment

from hpo import spec as studies
from hpo import tables
from hpo.cli import options
from hpo.config import Config
from hpo.store import open_store

Run = Callable[..., Any]
PARAMS = ["simulated.learning_rate", "simulated.batch_size", "simulated.optimizer"]


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


def test_json_has_null_for_what_is_no_finite_number() -> None:
    found = json.loads(tables.as_json({"a": [math.inf, 1.5, {"b": math.nan}], "c": (-math.inf, "x")}))
    assert found == {"a": [None, 1.5, {"b": None}], "c": [None, "x"]}


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


def test_export_to_parquet_keeps_types(read: Run, tmp_path: Path) -> None:
    file = tmp_path / "trials.parquet"
    assert read("export", "-s", "toy", "--out", str(file)).code == 0
    found = parquet.read_table(file).to_pylist()
    trials = json.loads(read("trials", "-s", "toy", "--json").out)
    for row, trial in zip(found, trials, strict=True):
        assert {name: row[f"params.{name}"] for name in PARAMS} == trial["params"]
        assert (row["number"], row["value"], row["state"]) == (trial["number"], trial["value"], "COMPLETE")
        assert row["finished"].isoformat() == trial["finished"]


def test_columns_of_parquet_that_are_mixed_are_text(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "x", "c": None, "d": [1]}, {"a": 2.5, "b": 3, "c": None, "d": None}]
    tables.write_parquet(rows, tmp_path / "x.parquet")
    assert parquet.read_table(tmp_path / "x.parquet").to_pylist() == [
        {"a": 1.0, "b": "x", "c": None, "d": "[1]"},
        {"a": 2.5, "b": "3", "c": None, "d": None},
    ]


@pytest.mark.parametrize(
    ("out", "line"),
    [
        ("trials.xlsx", "Error: --out trials.xlsx: a file ending in .csv, .json or .parquet is right\n"),
        (
            "/nowhere/trials.csv",
            "Error: --out /nowhere/trials.csv: there is no folder /nowhere; make it, or name another\n",
        ),
    ],
)
def test_export_to_a_file_that_cannot_be(read: Run, out: str, line: str) -> None:
    found = read("export", "-s", "toy", "--out", out)
    assert (found.code, found.out, found.err) == (1, "", line)


EVIL = "go\x1b[2Jod\x9b31m\r\x07"


def test_what_a_terminal_takes_for_a_command_is_not_printed(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    tables.show([(EVIL, {EVIL: 1})], ("label", EVIL))
    options.say(EVIL)
    said = capfd.readouterr().out + run("best", "-s", EVIL).err
    assert not {*"\x1b\x9b\r\x07"} & {*said}
    assert said.count("go\N{REPLACEMENT CHARACTER}[2Jod") == 5
    assert tables.printable("a\tb\nc 字") == "a\tb\nc 字"


def test_a_file_that_cannot_be_written_is_said_before_the_work_for_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for out, why in ((tmp_path / "folder.csv", "is a folder"), (tmp_path / "no" / "x.csv", "there is no folder")):
        said = run("predict", "-m", "none", "x.csv", "-o", str(out))
        assert (said.code, said.out) == (1, "")
        assert f"--out {out}: {why}" in said.err
    for command in (["compare", "none"], ["plot", "-s", "none"], ["report", "-s", "none"]):
        assert "there is no folder no;" in run(*command, "-o", "no/x.html").err


def test_rows_in_another_encoding_are_said_with_the_options_of_the_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("text\né\n".encode("cp1252") + b"\x81\x8d\n")
    said = run("predict", "-m", "none", str(tmp_path / "rows.csv"), "--encoding", "ascii").err
    assert "is not ascii; set --encoding to what it is" in said


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
