"""`hpo` in this process, and one database for all tests that only read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import moves
import psycopg2
import pytest
import workers
from support import environment

import hpo.cli
from hpo import postgres, worker
from hpo.attempts import Worker
from hpo.config import VARIABLES, Config
from hpo.spec import StudySpec, load
from hpo.store import Store, open_store

TOY = """
study: toy
objective: {simulated: {evaluations: 2}}
search:
  simulated.learning_rate: {low: 1e-5, high: 1e-1, log: true}
  simulated.batch_size: [8, 16, 32]
  simulated.optimizer: [adamw, sgd]
sampler: random
pruner: none
trials: 3
"""


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(config: Config, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `hpo` in this process: a second cheaper than a process of its own, and the same to the exit code."""
    _enter(config, monkeypatch)

    def run(*arguments: str, **environ: str) -> Answer:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                hpo.cli.main(list(arguments))
        out, err = capfd.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return run


def _enter(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    for name, value in config.environ().items():
        monkeypatch.setenv(name, value)


def work(config: Config, spec: StudySpec) -> None:
    """Create the study and run it to its end in this process."""
    with open_store(config) as store:
        store.create(spec)
    worker.run(config, spec.study, Worker("here.1.1", "here", 1, config.grace), threading.Event())


@pytest.fixture
def rows(store: Store) -> Callable[[str], list[Any]]:
    """What the test's database answers to a statement."""
    return partial(moves.rows, store)


@pytest.fixture
def start(config: Config, tmp_path: Path) -> Iterator[workers.Start]:
    """Start a worker of the study `one`; its output goes to the file `NAME.log`. What still runs ends with the test."""
    with workers.started() as begin:

        def start(*options: str, study: str = "one", name: str = "a", grace: float = 1.5, **environ: str) -> Any:
            command = [sys.executable, "-m", "hpo.worker", "--study", study, "--name", name, *options]
            values = environment(replace(config, grace=grace)) | environ
            return begin(command, values, tmp_path / f"{name}.log")

        yield start


@pytest.fixture
def said(tmp_path: Path) -> workers.Said:
    """What a worker of this name has said so far."""
    return lambda name="a": (tmp_path / f"{name}.log").read_text()


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study file of `toy`."""
    path = tmp_path_factory.mktemp("studies") / "toy.yaml"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def toy(server: postgres.Server, toy_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A database with the finished study `toy`, shared by all tests that only read it."""
    name = f"toy_{uuid4().hex}"
    with closing(psycopg2.connect(server.psql_url())) as admin:
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template_hpo")
        config = Config(tmp_path_factory.mktemp("home"), server.url(name), beat=0.2, grace=1.5, patience=30)
        work(config, load(toy_file))
        yield config
        admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def read(toy: Config, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run` on the shared database."""
    _enter(toy, monkeypatch)
    return run
