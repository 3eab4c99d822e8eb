"""Workers as processes of their own, and the study of one simulated trial that they work on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpo.spec import StudySpec
from hpo.store import Store

# One trial with fixed settings: what it reports is known beforehand.
TREE = {
    "study": "one",
    "objective": {"simulated": {"evaluations": 3}},
    "search": {"simulated.dropout": [0.1]},
    "sampler": "random",
    "pruner": "none",
    "trials": 1,
}
Start = Callable[..., subprocess.Popen[str]]
Rows = Callable[[str], list[Any]]
Said = Callable[..., str]
ATTEMPTS = "SELECT worker, attempt, outcome FROM hpo.attempts ORDER BY trial_id, attempt"
STEPS = "SELECT count(*) FROM hpo.metrics"


@contextmanager
def started() -> Iterator[Start]:
    """Start a command whose output is added to a file; what still runs ends with the block."""
    processes: list[subprocess.Popen[str]] = []

    def start(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Any:
        with log.open("a") as stream:
            processes.append(subprocess.Popen([*command], env={**environ}, stdout=stream, stderr=stream))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def create(store: Store, trials: int = 1, **simulated: Any) -> None:
    objective = {"simulated": {"evaluations": 3, **simulated}}
    store.create(StudySpec.from_dict(TREE | {"objective": objective, "trials": trials}))


def ended(process: subprocess.Popen[str]) -> int:
    return process.wait(240)
