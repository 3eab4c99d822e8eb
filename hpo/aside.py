"""A look at some trials of a study, in a process of its own that comes to torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.config import Config
from hpo.errors import HpoError
from hpo.launch.devices import Device
from hpo.launch.local import environ
from hpo.space import Params
from hpo.spec import StudySpec, settings_for

LOOKS = {"rehearse": "dry run", "rate": "ranking"}
"""What there is to look at, by the name of the act in `hpo.rehearsal`."""


def look(
    act: str,
    spec: StudySpec,
    config: Config,
    points: Sequence[Params],
    *,
    devices: list[Device],
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """What is answered of a trial at each of these points, by one of so many workers.

    Raises HpoError where a trial cannot be looked at, also for want of memory, with the parameters it was of.
    """
    wanted = [settings_for(spec, params, config.data_root).model_dump() for params in points]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo.rehearsal"],
        env=environ(config, devices, 0, workers),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    asked = {"act": act, "options": options or {}, "study": spec.to_dict(), "settings": wanted}
    try:
        said, complained = process.communicate(json.dumps(asked))
    finally:
        process.kill()
        process.wait()
    answers = [json.loads(line) for line in said.splitlines()]
    if process.returncode:
        raise failed(act, process.returncode, answers, complained, points)
    return answers


def failed(
    act: str, code: int, answers: Sequence[Mapping[str, Any]], complained: str, points: Sequence[Params]
) -> Exception:
    """What the process died of."""
    done = [answer for answer in answers if "error" not in answer]
    where = f"{LOOKS[act]}, {told(points[min(len(done), len(points) - 1)])}"
    if len(done) < len(answers):
        return HpoError(f"{where}: {answers[-1]['error']}")
    if code == -signal.SIGKILL:
        return HpoError(f"{where}: killed, as the system does where memory does not suffice")
    return RuntimeError(f"hpo.rehearsal ended with {code}:{os.linesep}{complained}")


def told(params: Params) -> str:
    """Parameters as a person reads them."""
    return (
        ", ".join(f"{address}={'null' if value is None else value}" for address, value in params.items())
        or "the objective's own values"
    )
