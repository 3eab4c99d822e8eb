"""Where chaos takes place: a home, a small disk for checkpoints, a tiny pretrained model, rows and studies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg2

from bench.chaos import processes
from bench.server import environment
from hpo import postgres
from hpo.config import Config

BEAT, GRACE, PATIENCE = 0.5, 4.0, 240.0  # seconds
DISK = "24m"  # of checkpoints: many times what four workers need
WORDS = ("cold", "warm", "slow", "quick", "old", "new", "soft", "loud", "dark", "light")

# Without a pruner, what is right does not depend on the order; no fault may use up a trial's attempts.
STUDY = """
study: {name}
objective:
  task: text-classification
  model: {{name: ./tiny, pooling: head}}
  data: {{path: rows.csv, split: {{train: 120, valid: 40, test: 0}}, max_length: 16}}
  training: {{epochs: {epochs}, batch_size: 8, warmup_ratio: 0.1, precision: fp32}}
sampler: {sampler}
pruner: none
max_attempts: 1000
"""
GRID = """
search:
  training.learning_rate: [1e-3, 2e-3, 4e-3, 8e-3]
  training.weight_decay: [0.0, 0.01]
  model.frozen_layers: [0, 1]
"""
RANDOM = """
search:
  training.learning_rate: {low: 1e-4, high: 1e-2, log: true}
  training.label_smoothing: {low: 0.0, high: 0.2}
  model.frozen_layers: {low: 0, high: 2}
trials: 16
"""
KINDS = {"grid": GRID, "random": RANDOM}
TRIALS = 16
"""The budget of a study of either kind."""


@dataclass(frozen=True)
class Place:
    """A folder of one's own; what runs in it carries its path in its environment or its command line."""

    root: Path
    epochs: int

    @property
    def config(self) -> Config:
        """The embedded server of this home, quick beats, a checkpoint at every evaluation."""
        artifacts = str(self.root / "disk")
        return Config(self.root / "home", beat=BEAT, grace=GRACE, patience=PATIENCE, artifacts=artifacts, checkpoint=0)

    @property
    def disk(self) -> Path:
        """What checkpoints are written to."""
        return self.root / "disk"

    def study(self, kind: str, name: str) -> Path:
        """A study file of this kind, all of one kind alike but for their names."""
        path = self.root / f"{name}.yaml"
        path.write_text(STUDY.format(name=name, sampler=kind, epochs=self.epochs) + KINDS[kind])
        return path

    def hpo(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`hpo` as a process of its own session, with its output in a file."""
        with (self.root / "output.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "hpo", *arguments],
                env=environment(self.config),
                cwd=Path.cwd(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self) -> str:
        """The end of what all commands wrote."""
        return (self.root / "output.log").read_text()[-3000:]

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database answers, without starting it; raises psycopg2.Error where it is down."""
        status = postgres.status(self.config.home)
        passfile = self.config.home / "postgres" / "passfile"
        connection = psycopg2.connect(
            host="127.0.0.1", port=status.port or 1, user="hpo", dbname="hpo", passfile=str(passfile), connect_timeout=5
        )
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@contextmanager
def place(epochs: int) -> Iterator[Place]:
    """A place for the length of the block; its disk is a file system of its own where root may mount one."""
    root = Path(tempfile.mkdtemp(prefix="hpo-chaos-"))
    root.chmod(0o711)
    found = Place(root, epochs)
    found.disk.mkdir()
    small = _mount(found.disk)
    try:
        _save_model(root / "tiny")
        (root / "rows.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in _rows()))
        yield found
    finally:
        for pid in processes.everything(root, found.config.home):  # none, unless it was cut short
            processes.send(pid, signal.SIGKILL)
        if small:
            subprocess.run(["umount", found.disk], check=False)
        shutil.rmtree(root, ignore_errors=True)


def is_small(disk: Path) -> bool:
    """Whether the disk is a file system of its own, which can be filled."""
    return os.path.ismount(disk)


def _mount(disk: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


def _rows() -> Iterator[tuple[str, str]]:
    """Two words decide: a rule that a tiny model learns in part."""
    for first, second in permutations(WORDS, 2):
        for last in ("day", "night"):
            yield f"the {first} {second} {last}", "yes" if first < second else "no"


def _save_model(folder: Path) -> None:
    from transformers import logging

    from bench import tiny

    logging.disable_progress_bar()
    tokenizer = tiny.tokenizer(("the", "day", "night", *WORDS))
    tiny.save(folder, tiny.bert(tokenizer, hidden_size=48, intermediate_size=96), tokenizer)
