"""Every block of the README does what it says: commands, SQL, Python and study files, in their order, in one home."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support import leave

from hpo import spec as studies
from objectives import sources
from objectives.settings import Model

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BRIEFLY = ["training.epochs=1", "training.evaluations_per_epoch=1"]
INSTEAD = {
    "bert-news": [*BRIEFLY, "trials=2", "data.split.train=64", "data.split.valid=64", "data.max_length=16"],
    "tickets.yaml": [*BRIEFLY, "trials=2"],
}
"""What stands in for a study where training is long: the same study with other settings."""
EXTENDED = {"trials=14": "trials=3"}
FEWER = {
    "hpo promote -s bert-news": "hpo promote -s bert-news --top 1 --seeds 1",
    "--set data.max_length=48 --set 'search.model.name": "--set data.max_length=16 --set 'search.model.name",
}
"""What stands in for a command that trains long, and for one that uses what the stand-in left."""
HUB = "sentence-transformers/all-MiniLM-L6-v2"  # the same weights are in a package

BASE = """
study: base
objective:
  task: text-classification
  data: {path: rows.csv}
search:
  training.learning_rate: {low: 1e-5, high: 1e-3, log: true}
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is to be saved as, what is in it, the line it begins at."""

    language: str
    file: str | None
    text: str
    line: int


BLOCKS = [Block(found[1], found[2], found[3], TEXT.count("\n", 0, found.start()) + 1) for found in BLOCK.finditer(TEXT)]


class Reader:
    """Somebody who follows the README, line by line, in an empty folder."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "hpo").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m hpo "$@"\n')
        (programs / "hpo").chmod(0o755)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "HPO_HOME": str(home), "OMP_NUM_THREADS": "1"}
        self.environ = {**os.environ, **own}
        self.kinds: dict[str, Callable[[Block], None]] = {
            "console": self.console,
            "bash": self.console,
            "sql": self.sql,
            "python": self.python,
            "yaml": self.yaml,
            "csv": self.save,
            "text": lambda _: None,
        }

    def follow(self, block: Block) -> None:
        self.kinds[block.language](block)

    def console(self, block: Block) -> None:
        """Each command, which must end with 0 and print the column heads that stand below it."""
        lines = re.sub(r"\\\n *", "", block.text)  # a command may go on after a backslash
        for part in re.split(r"^\$ ", lines, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            said = [" ".join(line.split()) for line in self.run(["bash", "-c", briefly(command)]).splitlines()]
            heads = [line for line in answer.splitlines() if re.fullmatch(r"[a-z]\w*(  +[a-z]\w*)+", line)]
            assert [head for head in heads if " ".join(head.split()) not in said] == [], (command, said)

    def sql(self, block: Block) -> None:
        assert "row" in self.run(["hpo", "db", "psql", "-v", "ON_ERROR_STOP=1", "-c", block.text])

    def python(self, block: Block) -> None:
        if block.file:
            self.save(replace(block, text=block.text.replace(HUB, sources.find(Model(name="minilm")).where)))
            return
        assert self.run([sys.executable, "-W", "error", "-c", block.text])

    def yaml(self, block: Block) -> None:
        """A study file, or some keys of one."""
        own = {line.partition(":")[0] for line in block.text.splitlines() if line[:1].isalpha()}
        own |= {"search"} if "points" in own else set()
        others = re.split(r"^(?=\w)", BASE, flags=re.MULTILINE)[1:]
        file = self.folder / (block.file or "part.yaml")
        file.write_text("".join(part for part in others if part.partition(":")[0] not in own) * (not block.file))
        file.write_text(file.read_text() + block.text)
        assert studies.load(file).search

    def save(self, block: Block) -> None:
        assert block.file
        (self.folder / block.file).write_text(block.text, "utf-8")

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


def briefly(command: str) -> str:
    """The command, with its study's stand-in where it launches one."""
    for said, short in FEWER.items():
        command = command.replace(said, short)
    found = re.match(r"hpo launch -s (\S+)", command)
    if not found or found[1] not in INSTEAD:
        return command
    for said, short in EXTENDED.items():
        command = command.replace(said, short)
    own = re.findall(r"--set (\w[\w.]*)=", command)
    return command + "".join(f" --set {value}" for value in INSTEAD[found[1]] if value.partition("=")[0] not in own)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Its home is one that the account of a server started by root can reach, unlike what is below `tmp_path`."""
    home = Path(tempfile.mkdtemp(prefix="hpo-readme-"))
    home.chmod(0o711)
    yield Reader(tmp_path, home)
    leave(home)


@pytest.mark.timeout(900)  # a hundred commands, each a process
def test_every_block_does_what_it_says(reader: Reader) -> None:
    assert 2 * len(BLOCKS) == len(re.findall(r"^```", TEXT, re.MULTILINE))
    assert {block.language for block in BLOCKS} == {"console", "sql", "python", "yaml", "csv", "text"}
    for block in BLOCKS:
        try:
            reader.follow(block)
        except AssertionError as error:
            raise AssertionError(f"README.md:{block.line}: {error}") from error


def test_a_command_that_is_not_run_is_not_called_one() -> None:
    for block in BLOCKS:
        if block.language in ("console", "bash"):
            assert block.text.startswith("$ hpo "), block
