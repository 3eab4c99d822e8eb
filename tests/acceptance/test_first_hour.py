"""Ways to get the first hour wrong: each ends in one line that says where, what was seen and what to do."""

from __future__ import annotations

import io
import re
import shlex
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support import environment, wait_until

from hpo.config import Config
from hpo.database import parse_url

ROOT = Path(__file__).parents[2]

TEXTS = ["the price is wrong", "where is my bill", "it ends in an error", "no sound at all"]
TEAMS = ["billing", "billing", "technical", "technical"]
PAIRS = [(f"{text} {number}", team) for number in range(6) for text, team in zip(TEXTS, TEAMS, strict=True)]
STUDY = """\
study: tickets
objective:
  task: text-classification
  model: minilm
  data: {path: tickets.csv, label: team}
search:
  training.learning_rate: {low: 1e-5, high: 1e-3, log: true}
trials: 2
"""
TOY = """\
study: toy
objective: {simulated: {evaluations: 2}}
search: {simulated.dropout: {low: 0.0, high: 0.5}}
sampler: random
pruner: none
trials: 2
"""
CONFIG = '{"model_type": "bert", "num_hidden_layers": 3, "max_position_embeddings": 40, "pad_token_id": 0}'

pytestmark = pytest.mark.acceptance
Content = str | bytes


def rows(pairs: list[tuple[str, str]] = PAIRS, header: str = "text,team", mark: str = ",") -> str:
    return "\n".join([header, *(f"{text}{mark}{label}" for text, label in pairs)]) + "\n"


def labelled(label: Callable[[int], str], count: int = 24) -> str:
    return rows([(f"{TEXTS[number % 4]} {number}", label(number)) for number in range(count)])


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


@dataclass(frozen=True)
class Wrong:
    """A mistake: its name, the command, and a regular expression for the one line that it ends in.

    `files` are written beside `tickets.csv` and `tickets.yaml`, or in their place.
    """

    name: str
    command: str
    says: str
    files: dict[str, Content] = field(default_factory=dict)
    code: int = 1
    environ: dict[str, str] = field(default_factory=dict)


def csv(content: Content, says: str, name: str, command: str = "init tickets.csv -o new.yaml", code: int = 1) -> Wrong:
    """A mistake in the rows."""
    return Wrong(name, command, says, {"tickets.csv": content}, code)


def study(old: str, new: str, says: str, name: str) -> Wrong:
    """A mistake in the study file."""
    assert old in STUDY
    return Wrong(name, "check tickets.yaml", says, {"tickets.yaml": STUDY.replace(old, new)})


def with_model(name: str, address: str, value: str, says: str) -> Wrong:
    """A study that asks for more than its model has."""
    command = f"launch -s tickets.yaml --set model=./tiny --set data.max_length=40 --set {address}={value}"
    files = {"tiny/config.json": CONFIG, "tiny/model.safetensors": "", "tiny/tokenizer.json": "{}"}
    return Wrong(name, command, says, dict[str, Content](files))


FILED = {"HPO_HOME": "tickets.csv"}
SEARCH = "training.learning_rate: {low: 1e-5, high: 1e-3, log: true}"
ROWS = [
    Wrong("no such file", "init ticket.csv", r"no such file: .*/ticket\.csv; did you mean tickets\.csv\?"),
    Wrong("a folder", "init .", r": has no class; right is a folder for each class, with images in it"),
    Wrong("another suffix", "init a.docx", r"unknown suffix '\.docx'; right is one of \.csv, ", {"a.docx": "a"}),
    Wrong("a study file for rows", "init tickets.yaml", r"is a study file; check it with: hpo check tickets\.yaml"),
    Wrong(
        "rows for a study file", "launch -s tickets.csv", r"holds rows; write a study file .*: hpo init tickets\.csv"
    ),
    Wrong("rows to check", "check tickets.csv", r"holds rows; write a study file .*: hpo init tickets\.csv"),
    study("label: team", "label: tema", r"no column 'tema'; found text, team; did you mean 'team'\?", "wrong column"),
    study("label: team", "label: text, text: team", r"swap data\.text and data\.label", "text and label swapped"),
    csv(rows().partition("\n")[2], r"the first row reads like data: .*add a header such as text,label", "no header"),
    csv(rows(header="text;team", mark=";"), r"data\.delimiter: ';'", "semicolons", "check tickets.yaml"),
    csv(rows(header="text\tteam", mark="\t"), r"data\.delimiter: tab", "tabs", "check tickets.yaml"),
    csv(rows(PAIRS[:3]), r"has 3 rows; right are 10 at the very least", "three rows"),
    csv(rows(PAIRS[:3]), r"data\.label: .*; right is two classes or more", "three rows", "check tickets.yaml"),
    csv(labelled(lambda _: "billing"), r"one value in all rows; right is two classes", "one class"),
    csv(labelled(lambda _: "billing"), r"'billing'; right is two classes or more", "one class", "check tickets.yaml"),
    csv(rows([*PAIRS, ("help", "misc")]), r"'misc' has one row; .*(remove|merge)", "a lonely class"),
    csv(
        labelled(lambda n: f"id-{n:04}").replace("text,team", "text,label"),
        r"it holds ids, .*right is a column of classes",
        "ids as labels",
    ),
    csv(
        labelled(lambda n: f"id-{n:04}"),
        r"it holds ids, .*right is a column of classes",
        "ids named as labels",
        "init tickets.csv -o new.yaml --label team",
    ),
    csv(labelled(lambda n: f"id-{n}"), r"right is a column of classes", "ids as labels", "check tickets.yaml"),
    csv(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9, r"NUL byte .*binary.*right is text", "a picture"),
    csv(zipped(), r"is an Excel file .*rename it to .*\.xlsx", "an Excel file"),
    csv(b"PAR1\x15\0\x15\0PAR1", r"is a Parquet file.*rename it to .*\.parquet", "a Parquet file"),
    csv(b"\x1f\x8b\x08\0\0\0\0\0", r"is compressed.*gunzip", "a compressed file"),
    csv("", r"is empty; right is a header and rows", "an empty file"),
    csv("text,team\n", r"has a header and no rows; add", "a header only"),
    csv(rows() + '"never closed,billing\n', r"line 26: a quote opened in this row is never closed", "an open quote"),
    csv(rows() + "a, b,billing\n", r"line 26: 3 fields, where the header has 2; .*quotes", "a comma in a text"),
    csv(rows() + "billing\n", r"line 26: 1 field, where the header has 2; ", "a field too few"),
    csv(rows() + "a\0b,billing\n", r"has a NUL byte at offset \d+.*right is text", "NUL bytes"),
    Wrong(
        "broken JSON",
        "init t.jsonl",
        r"line 2: broken JSON: .* right is an object a line",
        {"t.jsonl": "{}\n{"},
    ),
    Wrong("half a Parquet file", "init t.parquet", r"is no Parquet file .*again", {"t.parquet": b"PAR1\x15\0"}),
    study("  task", "\ttask", r"tickets\.yaml:3:1: a tab stands where .*indent with spaces", "a tab in YAML"),
    study("label: team}", "label: team", r"tickets\.yaml:\d+:\d+: .*expected ',' or '}'", "an open bracket"),
    study("trials: 2", "trials: 2\ntrials: 3", r"trials is given twice; keep one", "a key twice"),
    study("trials: 2", "trails: 2", r"trails: unknown setting; did you mean trials\?", "a misspelt key"),
    study("learning_rate", "learning_rat", r"unknown setting; did you mean training\.learning_rate\?", "an address"),
    study("1e-5, high: 1e-3", "1e-3, high: 1e-5", r"low 0\.001 is above high 1e-05; swap them", "low above high"),
    study("{low: 1e-5, high: 1e-3, log: true}", "[]", r"choices is empty; give at least one", "no choices"),
    study("low: 1e-5", "low: 0", r"low 0 has no logarithm; raise it above 0 or remove log", "the logarithm of 0"),
    study("study: tickets", "study: my tickets", r"has ' ' in it; letters, digits and \. _ - are right", "a space"),
    study("trials: 2", "sampler: bayes", r"'bayes' is unknown; known: tpe, random, grid", "an unknown sampler"),
    study("minilm", "./my-model", r"there is no folder .*my-model'?; .*(hub|minilm)", "a model that is not there"),
    study("minilm", "minlm", r"did you mean minilm\?", "a misspelt model"),
    study("label: team", "label: team, max_length: 999", r"999 is more than the 512 tokens", "too long for the model"),
    study(
        SEARCH,
        "model.frozen_layers: [0, 9]",
        r"search\.model\.frozen_layers: 9 is more than the 6 blocks .*; lower it to 6",
        "too deep",
    ),
    with_model("too long for a folder", "data.max_length", "41", r"41 is more than the 40 tokens"),
    with_model("too deep for a folder", "model.frozen_layers", "4", r"frozen_layers: 4 is more than the 3 blocks"),
    Wrong(
        "wrong --set",
        "check tickets.yaml --set training.epochs=-1",
        r"^Error: --set training\.epochs: -1 is too low; ",
    ),
    Wrong("wrong column by --set", "check tickets.yaml --set data.text=txt", r"^Error: --set data\.text: .*'text'\?$"),
    Wrong("no value", "check tickets.yaml --set training.epochs", r"is no address=value; write such as"),
    Wrong("password in sight", "--database-url postgresql://a:b@h/d studies", r"can be read by others; set HPO_DATA"),
    Wrong("no URL", "studies", r"HPO_DATABASE_URL: not a URL; write postgresql://", environ={"HPO_DATABASE_URL": "x"}),
    Wrong(
        "another database", "studies", r"only PostgreSQL is; .*unset it", environ={"HPO_DATABASE_URL": "mysql://h/d"}
    ),
    Wrong("no GPU", "launch -s toy.yaml --devices 0", r"--devices 0: .*(nvidia-smi|leave --devices out)"),
    Wrong("no workers", "launch -s toy.yaml -w 0", r"'-w'.*: 0 is not in the range x>=1", code=2),
    Wrong("a misspelt command", "lanch -s toy.yaml", r"no such command: lanch; did you mean launch\?", code=2),
    Wrong("no study", "launch", r"Missing option '-s' / '--study'", code=2),
    Wrong("no such study file", "launch -s tiket.yaml", r"no such study file; did you mean tickets\.yaml\?"),
    Wrong("nothing launched yet", "best -s toy", r"toy: no such study in the database; .*hpo launch"),
    Wrong("best before a trial", "best -s toy.yaml", r"toy: no such study in the database; .*hpo launch"),
    Wrong(
        "a label that training has not",
        "check tickets.yaml --set data.path=null --set data.train=tickets.csv --set data.valid=valid.csv",
        r"valid\.csv, line 2: label 'bill' of the validation rows stands in no training row; .*'billing'",
        {"valid.csv": "text,team\na,bill\nb,technical\n"},
    ),
    Wrong(
        "no test file",
        "launch -s tickets.yaml --set data.path=null --set data.train=tickets.csv --set data.valid=tickets.csv "
        "--set data.test=tests.csv",
        r"data\.test: no such file: .*tests\.csv",
    ),
    Wrong("a study file nowhere", "init tickets.csv -o no/x.yaml", r"no/x\.yaml: cannot be written: .* with -o"),
    Wrong("a file for a home", "launch -s toy.yaml", r"Not a directory; .*another folder in HPO_HOME", environ=FILED),
    Wrong(
        "a file for a server's home",
        "studies",
        r"Not a directory; .*name another folder in HPO_HOME",
        environ={**FILED, "HPO_DATABASE_URL": ""},
    ),
]

Hpo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def config(config: Config) -> Config:
    """A machine may be slow here: nobody's beats are looked at."""
    return replace(config, beat=5.0, grace=60.0)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    for name, text in {"tickets.csv": rows(), "tickets.yaml": STUDY, "toy.yaml": TOY}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def hpo(config: Config, here: Path) -> Hpo:
    """`hpo` as a user runs it in a folder with rows and study files."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        own = {**environment(config), "PYTHONPATH": str(ROOT), **environ}
        command = [sys.executable, "-m", "hpo", *arguments]
        return subprocess.run(command, cwd=here, env=own, capture_output=True, text=True, timeout=240, check=False)

    return run


def error(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one line that a command ended in."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    *before, last = done.stderr.splitlines()
    assert last.startswith("Error: "), done.stderr
    assert not [line for line in before if line.startswith("Error")]
    return last


@pytest.mark.parametrize("wrong", ROWS, ids=lambda wrong: f"{wrong.name}: {wrong.command.split()[0]}")
def test_a_mistake_ends_in_one_line_that_says_what_to_do(hpo: Hpo, here: Path, wrong: Wrong) -> None:
    for name, content in wrong.files.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    said = error(hpo(*shlex.split(wrong.command), **wrong.environ), wrong.code)
    assert re.search(wrong.says, said), said


def place(config: Config, **parts: Any) -> str:
    """The URL of the test's database with other parts."""
    return parse_url(str(config.database_url)).set(**parts).render_as_string(hide_password=False)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_database_that_cannot_be_reached(hpo: Hpo, config: Config) -> None:
    said = error(hpo("studies", HPO_DATABASE_URL=place(config, port=free_port())))
    assert re.search(r"HPO_DATABASE_URL: cannot reach postgresql\S+: .*refused.*; is the server running", said), said
    said = error(hpo("studies", HPO_DATABASE_URL=place(config, database="nothing")))
    assert re.search(r'database "nothing" does not exist; .*CREATE DATABASE', said), said
    said = error(hpo("studies", HPO_DATABASE_URL=place(config, password="secret-of-mine", query={})))
    assert re.search(r"password authentication failed .*; .*passfile", said), said
    assert "secret-of-mine" not in said


def test_a_port_that_is_taken(hpo: Hpo) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = error(hpo("dashboard", "--port", str(taken.getsockname()[1])))
    assert re.search(r"port \d+ on 127\.0\.0\.1: .* in use; choose another with --port", said), said


def test_after_a_launch(hpo: Hpo, here: Path) -> None:
    """Names and numbers that are nearly right, another objective under the same name, a folder that is closed."""
    here.chmod(0o555)
    done = hpo("launch", "-s", "toy.yaml")
    here.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in here.iterdir()) == ["tickets.csv", "tickets.yaml", "toy.yaml"]
    for command in ("best", "trials", "enqueue --set a=1"):
        assert error(hpo(*command.split(), "-s", "toyy")).endswith("no such study in the database; did you mean toy?")
    assert error(hpo("show", "-s", "toy", "99")).endswith("there is no trial 99; hpo trials -s toy lists them")
    (here / "toy.yaml").write_text(TOY.replace("evaluations: 2", "evaluations: 3"))
    said = hpo("launch", "-s", "toy.yaml").stderr
    assert "objective.simulated.evaluations: 2 -> 3" in said
    assert "start a new one with --as toy-2, or remove the old one: hpo delete --study toy" in said


DOUBTS: dict[str, tuple[Content, str]] = {
    "two spellings": (
        labelled(lambda n: ("News", "news", "Sport")[n % 3]),
        r"'News', 'news' are 2 classes, .*write it",
    ),
    "300 classes": (labelled(lambda n: f"class {n % 300}", 3000), r"300 classes, 8\.0 rows .*; merge the small ones"),
    "UTF-16": (rows().encode("utf-16"), r"is read as utf-16, a guess; if letters look wrong, set data\.encoding"),
    "100,000 characters": (rows([*PAIRS, ("long " * 20_000, "billing")]), r"cut at max_length 128 .*\d\.\d %"),
    "200,000 characters": (rows([*PAIRS, ("long " * 40_000, "billing")]), r"cut at max_length 128 .*\d\.\d %"),
    "another script": (
        rows([(f"你好世界{n}", TEAMS[n % 4]) for n in range(24)]),
        r"unknown to minilm: model",
    ),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_what_may_be_right_is_said_and_goes_on(hpo: Hpo, here: Path, name: str) -> None:
    content, says = DOUBTS[name]
    (here / "tickets.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = hpo("check", "tickets.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("study: tickets\n")
    assert re.search(says, done.stderr), done.stderr


def test_a_full_disk(config: Config, here: Path) -> None:
    """A limit on the size of files stands in for a disk without room."""
    own = {**environment(config), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def cramped(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        code = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); sys.argv[0] = 'hpo'; "
        command = [sys.executable, "-c", f"{code}runpy.run_module('hpo', run_name='__main__')", *arguments]
        return subprocess.run(
            command, cwd=here, env={**own, **environ}, capture_output=True, text=True, timeout=240, check=False
        )

    said = error(cramped("init", "tickets.csv", "-o", "new.yaml"))
    assert re.search(r"new\.yaml: cannot be written: File too large; give another place with -o", said), said
    assert not (here / "new.yaml").exists()


def test_a_hub_that_cannot_be_reached(hpo: Hpo) -> None:
    closed = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}", "HF_HUB_OFFLINE": "0"}
    said = error(hpo("launch", "-s", "tickets.yaml", "--set", "model=distilbert-base-uncased", **closed))
    assert re.search(
        r"cannot load distilbert-base-uncased: .* cannot be reached, .*; hf download distilbert-base-uncased", said
    ), said
    hub = ("--set", "data={hub: some/rows, label: team}")
    said = error(hpo("check", "tickets.yaml", *hub, **closed))
    assert re.search(r"data\.hub: cannot load 'some/rows' .*check its name and the network", said), said


def test_an_interrupted_launch_says_how_to_go_on(config: Config, here: Path, hpo: Hpo) -> None:
    (here / "toy.yaml").write_text(TOY.replace("evaluations: 2", "evaluations: 1000, seconds: 200"))
    command = [sys.executable, "-m", "hpo", "launch", "-s", "toy.yaml"]
    own = {**environment(config), "PYTHONPATH": str(ROOT)}
    launch = subprocess.Popen(command, cwd=here, env=own, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: '"RUNNING"' in hpo("trials", "-s", "toy", "--json").stdout, 60)
    launch.send_signal(signal.SIGINT)
    _, said = launch.communicate(timeout=60)
    assert launch.returncode == 130
    assert said.rstrip().splitlines()[-1] == "stopped; go on with: hpo launch -s toy.yaml"
    assert "Traceback" not in said
