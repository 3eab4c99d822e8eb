"""A study in MLflow: a run for the study, and below it one for each finished trial, written once."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from hpo.errors import HpoError

Row = Mapping[str, Any]

STUDY, CREATED, TRIAL = "hpo.study", "hpo.created", "hpo.trial"
"""The tags by which a run is found again; another study of the same name was created at another time."""

# What MLflow reads when it is imported: nobody is told of an export, and a server that is not there is soon given up.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
_AT_ONCE, _PARAMETERS = 500, 100  # metrics and parameters in one request; a server takes 1,000 and 100
_ODD = re.compile(r"[^/\w.\- ]")  # what MLflow's names of metrics may not have, such as the brackets of recall[spam]


@dataclass(frozen=True)
class Sent:
    """How many runs of trials were written, and how many were there before."""

    written: int
    before: int


def send(uri: str, study: Row, trials: Sequence[Row], curve: Callable[[int], Sequence[Row]], best: Row | None) -> Sent:
    """Write a study's finished trials that are not there yet, each with its parameters and its curve.

    `study`, `trials`, `best` and what `curve` gives of a number are rows of `hpo.report.Report`. The experiment is
    named as the study. A run that a killed export left open is removed and written again. Raises HpoError.
    """
    client, error = _mlflow(uri)
    try:
        return _send(client(uri), study, trials, curve, best)
    except error as refused:
        raise HpoError(f"--mlflow {uri}: {str(refused).strip().splitlines()[0]}") from refused


def _mlflow(uri: str) -> tuple[Callable[[str], Any], type[Exception]]:
    if urlsplit(uri).password:
        raise HpoError("--mlflow: leave the password out of the URL; MLflow reads MLFLOW_TRACKING_PASSWORD")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError:
        raise HpoError("--mlflow needs the extra mlflow; pip install mlflow-skinny") from None
    for name in ("mlflow", "alembic"):  # which tell of the making of their tables
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient, MlflowException


def _send(
    client: Any, study: Row, trials: Sequence[Row], curve: Callable[[int], Sequence[Row]], best: Row | None
) -> Sent:
    name = study["study"]
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    runs = dict(_runs(client, experiment, study))
    parent = runs.pop(None, None) or _parent(client, experiment, study)
    finished = [trial for trial in trials if trial["state"] in _STATUS]
    missing = [trial for trial in finished if trial["number"] not in runs]
    for trial in missing:
        _write(client, experiment, parent, study, trial, curve(trial["number"]))
    if best:
        now = datetime.now(UTC)  # of equal steps and times MLflow shows the highest value
        client.log_batch(parent, metrics=_metrics({f"best {study['metric']}": best["value"]}, now, len(finished)))
        client.set_tag(parent, "hpo.best_trial", str(best["number"]))
    client.set_terminated(parent, "FINISHED")
    return Sent(len(missing), len(finished) - len(missing))


def _runs(client: Any, experiment: str, study: Row) -> Iterator[tuple[int | None, str]]:
    """The runs of this study, by the number of their trial, None for the study's own; broken ones are removed."""
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            if any(tags.get(name) != value for name, value in _tags(study).items()):
                continue
            if TRIAL not in tags:
                yield None, run.info.run_id
            elif run.info.status == "RUNNING":
                client.delete_run(run.info.run_id)
            else:
                yield int(tags[TRIAL]), run.info.run_id
        if not (token := page.token):
            return


def _tags(study: Row) -> dict[str, str]:
    return {STUDY: study["study"], CREATED: study["created"].astimezone(UTC).isoformat()}


def _parent(client: Any, experiment: str, study: Row) -> str:
    tags = {**_tags(study), "hpo.metric": study["metric"], "hpo.direction": study["direction"]}
    made = client.create_run(experiment, start_time=_milliseconds(study["created"]), tags=tags, run_name=study["study"])
    return str(made.info.run_id)


def _write(client: Any, experiment: str, parent: str, study: Row, trial: Row, curve: Sequence[Row]) -> None:
    from mlflow.entities import Param

    tags = {
        **_tags(study),
        TRIAL: str(trial["number"]),
        "hpo.state": trial["state"],
        "mlflow.parentRunId": parent,
        **({"hpo.error": trial["error"][:5000]} if trial["error"] else {}),
    }
    begun = _milliseconds(trial["started"] or study["created"])
    run = client.create_run(experiment, start_time=begun, tags=tags, run_name=f"trial {trial['number']}").info.run_id
    client.log_batch(run, params=[Param(name, str(value)) for name, value in trial["params"].items()][:_PARAMETERS])
    points = [point for row in curve for point in _metrics(row["metrics"], row["recorded"], row["step"])]
    for first in range(0, len(points), _AT_ONCE):
        client.log_batch(run, metrics=points[first : first + _AT_ONCE])
    client.set_terminated(run, _STATUS[trial["state"]], _milliseconds(trial["finished"] or study["created"]))


def _metrics(values: Mapping[str, float | None], when: datetime, step: int) -> list[Any]:
    """MLflow's metrics of one evaluation; what is not finite is left out."""
    from mlflow.entities import Metric

    at = _milliseconds(when)
    real = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    return [Metric(_ODD.sub("_", name), value, at, step) for name, value in real.items()]


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)
