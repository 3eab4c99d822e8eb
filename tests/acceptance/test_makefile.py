"""The Makefile's setup, with real make and a stand-in for Python on the PATH that keeps a log of its calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
TOOLS = ("make", "sh", "cat", "cp", "grep", "mkdir", "rm", "sort", "touch")

# Files in its folder say how it is: `version`, `torch` (installed), `offline` (pip fails).
PYTHON = """#!/bin/sh
here={folder}
case "$*" in
"-c import sys; print("*) cat "$here/version" ;;
"-c import sys; sys.exit("*) grep -q '^3[.]1[1-9]' "$here/version" ;;
"-c import torch"*) test -e "$here/torch" ;;
"-c from importlib.metadata"*) cat "$here/torch" ;;
"-c "* | "-m pip --version") ;;
"-m venv "*)
    echo "$*" >> "$here/log"
    mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip install "*)
    echo "$*" >> "$here/log"
    test ! -e "$here/offline" && cp "$0" .venv/bin/hpo ;;
*) echo "$*" >> "$here/log" ;;
esac
"""
PIP = "-m pip install --disable-pip-version-check --constraint .venv/constraints.txt --editable .[{}]"
HPO = "launch --study bert-news --workers 2"


class Clone:
    """A fresh clone on a machine with nothing but make, and Python if it is added."""

    def __init__(self, root: Path) -> None:
        self.folder, self.machine = root / "a clone", root / "machine"
        for folder in (self.folder, self.machine):
            folder.mkdir()
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.machine / tool).symlink_to(found)

    def add_python(self, name: str = "python3.11", version: str = "3.11.9") -> None:
        (self.machine / "version").write_text(f"{version}\n")
        (self.machine / name).write_text(PYTHON.format(folder=self.machine))
        (self.machine / name).chmod(0o755)

    def add_torch(self) -> None:
        (self.machine / "torch").write_text("torch==2.7.1+cu128\n")

    def make(self, *arguments: str, code: int = 0) -> str:
        """What make says."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=inherited | {"PATH": str(self.machine)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def calls(self) -> list[str]:
        """What Python was called for since the last look."""
        log = self.machine / "log"
        found = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return found

    @property
    def constraints(self) -> list[str]:
        return (self.folder / ".venv" / "constraints.txt").read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_launch_sets_up_once_and_test_adds_to_it(clone: Clone) -> None:
    clone.add_python()
    clone.make("launch")
    assert clone.calls() == ["-m venv .venv", PIP.format("offline"), HPO]
    clone.make("launch", "STUDY=spam", "LAUNCH_OPTIONS=--set trials=2")
    assert clone.calls() == ["launch --study spam --workers 2 --set trials=2"]
    clone.make("test")
    pip, pytest_ = clone.calls()
    assert pip == PIP.format("dev,offline")
    assert pytest_.startswith("-m pytest ")
    clone.make("launch")
    assert clone.calls() == [HPO]


def test_changed_requirements_are_installed_into_what_is_there(clone: Clone) -> None:
    clone.add_python()
    clone.make("launch")
    clone.calls()
    ready = (clone.folder / ".venv" / "ready-launch").stat().st_mtime
    os.utime(clone.folder / "constraints.txt", (ready + 1, ready + 1))
    clone.make("launch")
    assert clone.calls() == [PIP.format("offline"), HPO]


def test_a_moved_folder_is_set_up_again(clone: Clone) -> None:
    clone.add_python()
    clone.make("launch")
    clone.calls()
    clone.folder = clone.folder.rename(clone.folder.with_name("moved"))
    clone.make("launch")
    assert clone.calls() == [PIP.format("offline"), HPO]


def test_without_torch_its_size_is_said_before_pip_fetches_the_tested_one(clone: Clone) -> None:
    clone.add_python()
    said = clone.make("launch")
    assert 0 < said.index("3 GB") < said.index("pip install --disable")
    assert [line for line in clone.constraints if line.startswith("torch==")] == ["torch==2.13.0"]


def test_an_installed_torch_is_used_as_it_is(clone: Clone) -> None:
    clone.add_python()
    clone.add_torch()
    assert "GB" not in clone.make("launch")
    assert clone.calls()[0] == "-m venv --system-site-packages .venv"
    pins = dict(line.split("==") for line in clone.constraints if "==" in line)
    assert pins["torch"] == "2.7.1+cu128"
    assert "sympy" not in pins
    assert "optuna" in pins


def test_after_a_failed_installation_the_next_starts_over(clone: Clone) -> None:
    clone.add_python()
    (clone.machine / "offline").touch()
    clone.make("launch", code=2)
    assert clone.calls() == ["-m venv .venv", PIP.format("offline")]
    (clone.folder / ".venv" / "half").touch()
    (clone.machine / "offline").unlink()
    clone.make("launch")
    assert clone.calls() == ["-m venv .venv", PIP.format("offline"), HPO]
    assert not (clone.folder / ".venv" / "half").exists()


def test_an_environment_of_ones_own_is_kept(clone: Clone) -> None:
    clone.add_python()
    (clone.folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(clone.machine / "python3.11", clone.folder / ".venv" / "bin" / "python")
    clone.make("launch")
    assert clone.calls() == [PIP.format("offline"), HPO]


def test_a_python_named_by_hand_is_the_one(clone: Clone) -> None:
    clone.add_python("python9")
    clone.make("launch", "PYTHON=python9")
    assert clone.calls()[0] == "-m venv .venv"


def test_too_old_a_python_is_named(clone: Clone) -> None:
    clone.add_python("python3", "3.9.2")
    said = clone.make("launch", code=2)
    assert "Python 3.11 or newer with venv is needed; found: python3 is 3.9.2. Install one, or name it" in said
    assert not (clone.folder / ".venv").exists()


def test_without_any_python_that_is_said(clone: Clone) -> None:
    assert "is needed; found: none." in clone.make("launch", code=2)
