"""A trial that is a function of yours: settings in, metrics out by `report`."""

from __future__ import annotations

import importlib
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from objectives.errors import CodeError
from objectives.evaluation import Evaluation, Heed, Report, Result
from objectives.host import Host
from objectives.settings import Own

Values = Mapping[str, Any]


class Reporter:
    """What a function gets beside its settings: call it with metrics at each evaluation.

    `folder` is the trial's own; what is in it outlives a killed worker, as far as `HPO_ARTIFACTS` is a folder, and is
    removed with the end of the trial. Without a worker it is a temporary one.
    """

    def __init__(self, report: Report, heed: Heed, folder: Path) -> None:
        self.folder, self.heed = folder, heed
        self.result = Result(0, 0, {}, {})
        self._report, self._began = report, time.perf_counter()

    def __call__(self, metrics: Mapping[str, float], *, step: int | None = None, epoch: float | None = None) -> None:
        """Report metrics by name. It may raise, which ends the trial: let that pass.

        `step` counts evaluations from 1, by default it is the next one; steps that are on record from an earlier
        attempt are passed over. `epoch` is the step where nothing else is said.
        """
        step = step or self.result.steps + 1
        seconds, facts = time.perf_counter() - self._began, {"device": "own", "versions": _VERSIONS}
        self.result = Result(step, 0, {"train": seconds}, facts)
        values = {name: float(value) for name, value in metrics.items()}
        self._report(Evaluation(step, float(epoch or step), values, result=self.result))
        self.heed()


Function = Callable[[Values, Reporter], Any]
_VERSIONS = {"python": platform.python_version()}


def run(settings: Own, report: Report, heed: Heed, host: Host) -> Result:
    """Call the function with its settings and a Reporter; metrics that it returns are reported, too.

    Raises CodeError where it cannot be found, and whatever it raises.
    """
    function = find(settings, host)
    with ExitStack() as held:
        folder = host.folder or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="hpo-trial-")))
        folder.mkdir(parents=True, exist_ok=True)
        reporter = Reporter(report, heed, folder)
        returned = function(settings.python.values(), reporter)
    if isinstance(returned, Mapping):
        reporter(returned)
    return reporter.result


def permit(settings: Own, allowed: bool) -> None:
    """Raises CodeError unless code that comes with a study may be run."""
    if not allowed:
        seen = f"{_where(settings)} is code that comes with the study"
        raise CodeError(f"{seen}; look at it, then allow it with --allow-code")


def _where(settings: Own) -> str:
    return f"python.function: {settings.python.function}"


def find(settings: Own, host: Host) -> Function:
    """The function that `package.module:name` names, modules beside the study file first; raises CodeError."""
    permit(settings, host.allow_code)
    module, _, name = settings.python.function.partition(":")
    where = _where(settings)
    folder = str(Path(settings.python.folder).absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise CodeError(f"{where}: no module {error.name} in {folder}, nor installed") from error
    if not callable(found):
        raise CodeError(f"{where}: {module} has no function {name}")
    return found  # type: ignore[no-any-return]
