"""The commands as a person and as a script meets them: usage, help, examples, exit codes."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from hpo import spec as studies
from hpo.cli import COMMANDS, group

Run = Callable[..., Any]


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


def test_a_port_that_is_taken(read: Run) -> None:

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = read("dashboard", "--port", str(port))
    line = f"Error: port {port} on 127.0.0.1: Address already in use; choose another with --port\n"
    assert (found.code, found.err) == (1, line)
