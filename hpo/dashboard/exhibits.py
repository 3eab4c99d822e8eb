"""Notes, files and plots of a study's best trials, for the dashboard; nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from sqlalchemy import Connection, text

from hpo.dashboard import drawn
from hpo.spec import StudySpec
from hpo.tables import shown

BEST = 10  # trials with a note and artifacts
_PLAN = text("SELECT spec FROM hpo.plans WHERE study_id = :study")
_TOP = text(
    "SELECT t.trial_id, t.number, v.value FROM trials t JOIN trial_values v USING (trial_id) "
    "JOIN study_directions d USING (study_id) "
    "WHERE t.study_id = :study AND t.state = 'COMPLETE' AND v.objective = 0 AND v.value_type = 'FINITE' "
    f"ORDER BY CASE d.direction WHEN 'MINIMIZE' THEN v.value ELSE -v.value END, t.number LIMIT {BEST}"
)
_METRICS = text(
    "SELECT trial_id, step, epoch, metrics, details FROM hpo.metrics "
    "WHERE trial_id = ANY(CAST(:trials AS integer[])) ORDER BY trial_id, step"
)
_PARAMS = text("SELECT params FROM hpo.trials WHERE trial_id = :trial")

Evaluations = Sequence[Mapping[str, Any]]
"""Of one trial, by step: step, epoch, metrics, details."""


@dataclass(frozen=True)
class Exhibits:
    """Of one study, by a trial's number; notes are Markdown, artifacts and plots as the dashboard's page takes them."""

    metric: str = ""
    note: str = ""
    notes: Mapping[int, str] = field(default_factory=dict)
    artifacts: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    plots: Sequence[Mapping[str, str]] = ()

    def after(self, connection: Connection, study_id: int) -> Exhibits:
        """What there is to show now; nothing of a study that another program made."""
        written = connection.scalar(_PLAN, {"study": study_id})
        if written is None:
            return Exhibits()
        spec = StudySpec.from_dict(written)
        best = connection.execute(_TOP, {"study": study_id}).all()
        found = _evaluations(connection, [trial.trial_id for trial in best])
        runs = {trial.number: found.get(trial.trial_id, []) for trial in best}
        params = connection.scalar(_PARAMS, {"trial": best[0].trial_id}) if best else {}
        order = list(spec.search)
        return Exhibits(
            metric=spec.metric,
            note=_about(spec, best, {name: params[name] for name in [*order, *params] if name in params}),
            notes={trial.number: _good(spec, at, trial.value, runs[trial.number]) for at, trial in enumerate(best, 1)},
            artifacts={trial.number: _artifacts(trial.trial_id, runs[trial.number]) for trial in best},
            plots=_plots(spec, runs),
        )


def artifact(connection: Connection, study_id: int, trial_id: int, kind: str) -> tuple[str, str] | None:
    """The type and the content of a trial's artifact; None where there is none."""
    of = connection.scalar(text("SELECT study_id FROM trials WHERE trial_id = :trial"), {"trial": trial_id})
    rows = _evaluations(connection, [trial_id]).get(trial_id, []) if of == study_id else []
    spec = connection.scalar(_PLAN, {"study": study_id}) if rows else None
    if spec is None or kind not in _KINDS:
        return None
    if kind == METRICS:
        return "application/json", json.dumps(rows, indent=1, ensure_ascii=False)
    if kind == CURVE:
        return "image/svg+xml", drawn.curve(rows)
    matrix = _matrix(rows, StudySpec.from_dict(spec))
    return ("image/svg+xml", drawn.matrix(matrix)) if matrix else None


CURVE, MATRIX, METRICS = "c0", "c1", "c2"  # hexadecimal, as artifact_ids are
_KINDS = {
    CURVE: ("learning-curve.svg", "image/svg+xml"),
    MATRIX: ("confusion-matrix.svg", "image/svg+xml"),
    METRICS: ("metrics.json", "application/json"),
}


def _artifacts(trial_id: int, rows: Evaluations) -> list[dict[str, Any]]:
    kinds = [kind for kind in _KINDS if rows and (kind != MATRIX or "confusion_matrix" in rows[-1]["details"])]
    return [
        {"artifact_id": f"{trial_id:x}-{kind}", "filename": name, "mimetype": mimetype, "encoding": None}
        for kind in kinds
        for name, mimetype in [_KINDS[kind]]
    ]


def _evaluations(connection: Connection, trials: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in connection.execute(_METRICS, {"trials": list(trials)}).mappings():
        found.setdefault(row["trial_id"], []).append({key: row[key] for key in ("step", "epoch", "metrics", "details")})
    return found


def _best(rows: Evaluations, spec: StudySpec) -> Mapping[str, Any] | None:
    """The evaluation that the trial counts with."""
    told = [row for row in rows if isinstance(row["metrics"].get(spec.metric), int | float)]
    sign = 1 if spec.direction == "minimize" else -1
    return min(told, key=lambda row: sign * row["metrics"][spec.metric], default=None)


def _matrix(rows: Evaluations, spec: StudySpec) -> Mapping[str, Any] | None:
    best = _best(rows, spec)
    found: Mapping[str, Any] | None = best["details"].get("confusion_matrix") if best else None
    return found


def _about(spec: StudySpec, best: Sequence[Any], params: Mapping[str, Any]) -> str:
    head = f"**{_plain(spec.study)}**: {spec.trials} trials, {spec.direction} `{spec.metric}`"
    searched = [(name, json.dumps(given, ensure_ascii=False)) for name, given in spec.to_dict()["search"].items()]
    said = [head, _table(("parameter", "searched"), searched)]
    if best:
        said += [
            f"Best so far: trial {best[0].number}, `{spec.metric}` {shown(best[0].value)}",
            _table(("parameter", "value"), [(name, shown(value)) for name, value in params.items()]),
            f"To make it a model: `hpo promote -s {_plain(spec.study)}`",
        ]
    return "\n\n".join(said) + "\n"


def _good(spec: StudySpec, place: int, value: float, rows: Evaluations) -> str:
    said = [f"Number {place} of the study: `{spec.metric}` {shown(value)}"]
    best = _best(rows, spec)
    if best:
        said[0] += f", at epoch {shown(best['epoch'])} (evaluation {best['step']} of {len(rows)})"
        said.append(_table(("metric", "value"), [(name, shown(value)) for name, value in best["metrics"].items()]))
    return "\n\n".join(said) + "\n"


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    cells = [f"| {' | '.join(f'`{_plain(cell)}`' for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---|---|", *cells])


def _plain(said: str) -> str:
    """Text that is no Markdown, whatever somebody called a class."""
    return said.replace("`", "'").replace("|", "/").replace("\n", " ").replace("<", "‹")


def _plots(spec: StudySpec, runs: Mapping[int, Evaluations]) -> list[dict[str, str]]:
    """The learning curves of the best trials, and the confusion matrix of the best one."""
    if not any(runs.values()):
        return []
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"trial {number}",
            "x": [row["epoch"] for row in rows],
            "y": [row["metrics"].get(spec.metric) for row in rows],
        }
        for number, rows in runs.items()
    ]
    axes: dict[str, Any] = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": escape(spec.metric)}}}
    plots = [_plot("best-curves", lines, f"The best {len(runs)} trials", axes)]
    number, rows = next(iter(runs.items()))
    matrix = _matrix(rows, spec)
    if matrix:
        labels = [escape(str(label)) for label in matrix["labels"]]
        heat = {"type": "heatmap", "z": matrix["rows"], "x": labels, "y": labels}
        heat |= {"colorscale": [[0, "#ffffff"], [1, drawn.BLUE]], "texttemplate": "%{z}", "xgap": 2, "ygap": 2}
        axes = {
            "xaxis": {"title": {"text": "predicted"}, "type": "category"},
            "yaxis": {
                "title": {"text": "true", "standoff": 20},
                "type": "category",
                "autorange": "reversed",
                "automargin": True,
            },
        }
        plots.append(_plot("confusion-matrix", [heat], f"Confusion matrix of trial {number}", axes))
    return plots


def _plot(name: str, data: Sequence[Mapping[str, Any]], title: str, layout: Mapping[str, Any]) -> dict[str, str]:
    return {"id": name, "graph_object": json.dumps({"data": data, "layout": {"title": {"text": title}, **layout}})}
