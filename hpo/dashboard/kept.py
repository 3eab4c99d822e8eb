"""A study as the dashboard's page takes it, kept between questions."""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from sqlalchemy import Connection, text

from hpo.dashboard import rows
from hpo.dashboard.exhibits import Exhibits
from hpo.dashboard.rows import Written
from objectives.measures import Direction

PLOT = "dashboard:plot_data:"
FOREIGN = ("preference:", "dashboard:form_widgets", "dashboard:objective_names")
"""What begins the attributes of studies that hpo does not make."""
_STUDY = text(
    "SELECT s.study_name, (SELECT array_agg(CAST(direction AS text) ORDER BY objective) FROM study_directions d "
    "WHERE d.study_id = s.study_id) AS directions, (SELECT count(*) FROM trials t WHERE t.study_id = s.study_id) AS n "
    "FROM studies s WHERE s.study_id = :study"
)
_ATTRIBUTES = "SELECT key, value_json FROM study_{}_attributes WHERE study_id = :study ORDER BY 1"


@dataclass(frozen=True)
class Told:
    """What is said of a study beside its trials."""

    name: str
    direction: Direction
    user: Mapping[str, Any]
    system: Mapping[str, Any]


@dataclass
class Kept:
    """One study; hold `lock` while it is used. `version` changes with every change of what is kept."""

    study_id: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    trials: list[Written] = field(default_factory=list)
    told: Told | None = None
    exhibits: Exhibits = field(default_factory=Exhibits)
    version: int = 0

    def refresh(self, connection: Connection) -> bool:
        """Read what may have changed; False where there is no such study, or one that Optuna's own answer is for.

        That is a study with several objectives, or one that asks people: hpo makes none.
        """
        found = connection.execute(_STUDY, {"study": self.study_id}).one_or_none()
        told = self._told(connection, found) if found and len(found.directions) == 1 else None
        if found is None or told is None or any(key.startswith(FOREIGN) for key in told.system):
            return False
        changed = self._read(connection, found.n)
        exhibits = self.exhibits.after(connection, self.study_id) if changed or not self.told else self.exhibits
        if changed or told != self.told or exhibits != self.exhibits:
            self.told, self.exhibits = told, exhibits
            self.version += 1
        return True

    def _read(self, connection: Connection, count: int) -> bool:
        unfinished = [trial.number for trial in self.trials if not trial.finished]
        fresh = rows.read(connection, self.study_id, len(self.trials), unfinished)
        changed = [trial for trial in fresh if trial.number >= len(self.trials) or trial != self.trials[trial.number]]
        by_number = {trial.number: trial for trial in self.trials} | {trial.number: trial for trial in fresh}
        if sorted(by_number) != list(range(count)):  # numbers of another program, or a study made anew
            by_number = dict(enumerate(rows.read(connection, self.study_id, 0, [])))
            changed = list(by_number.values())
        self.trials = [by_number[number] for number in sorted(by_number)]
        return bool(changed)

    def _told(self, connection: Connection, found: Any) -> Told:
        user, system = (
            {
                row.key: json.loads(row.value_json)
                for row in connection.execute(text(_ATTRIBUTES.format(kind)), {"study": self.study_id})
            }
            for kind in ("user", "system")
        )
        return Told(found.study_name, found.directions[0].lower(), user, system)

    @property
    def best(self) -> Written | None:
        """The best complete trial, the first of equal ones."""
        assert self.told is not None  # noqa: S101 - refreshed before
        complete = [trial for trial in self.trials if trial.state == "COMPLETE" and trial.value is not None]
        sign = 1 if self.told.direction == "minimize" else -1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def answer(self, after: int) -> str:
        """The study in JSON with the trials from index `after` on."""
        told, best = self.told, self.best
        assert told is not None  # noqa: S101 - refreshed before
        notes = _notes(told.system)
        head = {
            "name": told.name,
            "directions": [told.direction],
            "user_attrs": rows.attributes(told.user),
            "artifacts": _artifacts(told.system, rows.ARTIFACTS),
            "union_user_attrs": self._attributes(),
            "has_intermediate_values": any(trial.has_curve for trial in self.trials if trial.state != "FAIL"),
            "note": notes.get(None) or {"version": 0, "body": self.exhibits.note},
            "is_preferential": False,
            "feedback_component_type": {"output_type": "note"},
            "plotly_graph_objects": _plots(told.system) + list(self.exhibits.plots),
        }
        if "study:metric_names" in told.system:
            head["objective_names"] = told.system["study:metric_names"]
        elif self.exhibits.metric:
            head["objective_names"] = [self.exhibits.metric]
        intersection, union = self._spaces()
        whole = {
            "trials": ", ".join(self._trial(trial, notes) for trial in self.trials[after:]),
            "best_trials": self._trial(best, notes) if best else "",
            "intersection_search_space": ", ".join(intersection),
            "union_search_space": ", ".join(union),
        }
        return json.dumps(head)[:-1] + "".join(f', "{key}": [{value}]' for key, value in whole.items()) + "}"

    def _trial(self, trial: Written, notes: Mapping[int | None, Any]) -> str:
        told = self.told
        assert told is not None  # noqa: S101 - refreshed before
        note = notes.get(trial.trial_id) or {"version": 0, "body": self.exhibits.notes.get(trial.number, "")}
        dashboard = _artifacts(told.system, f"dashboard:{rows.ARTIFACTS}{trial.trial_id}:") if self._shows else []
        artifacts = [*self.exhibits.artifacts.get(trial.number, ()), *dashboard, *trial.artifacts]
        return f'{trial.json}, "note": {json.dumps(note)}, "artifacts": {json.dumps(artifacts)}}}'

    @property
    def _shows(self) -> bool:
        """Whether anybody added artifacts in the dashboard: to look for each trial's takes a while."""
        return self.told is not None and any(key.startswith(f"dashboard:{rows.ARTIFACTS}") for key in self.told.system)

    def _attributes(self) -> list[dict[str, Any]]:
        union: dict[str, bool] = {}
        for trial in self.trials:
            for key, sortable in trial.sortable.items():
                union[key] = union.get(key, True) and sortable
        return [{"key": key, "sortable": sortable} for key, sortable in union.items()]

    def _spaces(self) -> tuple[list[str], list[str]]:
        """The parameters that all trials with parameters have, and those that some have; failed ones aside."""
        used = {
            tuple((name, written) for name, (_, written) in trial.params.items())
            for trial in self.trials
            if trial.state != "FAIL" and trial.params
        }
        union: dict[str, BaseDistribution] = {}
        for pairs in used:
            for name, written in pairs:
                union[name] = _wider(union.get(name), rows.distribution(written))
        everywhere = set.intersection(*({name for name, _ in pairs} for pairs in used)) if used else set()
        said = {
            name: f'{{"name": {json.dumps(name)}, "distribution": {rows.described(of)}}}'
            for name, of in sorted(union.items())
        }
        return [one for name, one in said.items() if name in everywhere], list(said.values())


def _wider(old: BaseDistribution | None, new: BaseDistribution) -> BaseDistribution:
    """A distribution over what both are over; another kind of distribution gives way to the newer one."""
    if old is None or type(old) is not type(new) or old == new:
        return new
    if isinstance(old, CategoricalDistribution) and isinstance(new, CategoricalDistribution):
        return CategoricalDistribution(list(dict.fromkeys([*old.choices, *new.choices])))
    one, other = old.__dict__, new.__dict__  # floats and whole numbers have the same
    limits = {"low": min(one["low"], other["low"]), "high": max(one["high"], other["high"])}
    wider: BaseDistribution = copy.copy(new)
    wider.__dict__ |= limits
    return wider


def _artifacts(system: Mapping[str, Any], prefix: str) -> list[Any]:
    found = (json.loads(value) for key, value in system.items() if key.startswith(prefix))
    return [artifact for artifact in found if artifact is not None]


def _notes(system: Mapping[str, Any]) -> dict[int | None, dict[str, Any]]:
    """The notes that people wrote, by trial_id; that of the study under None."""
    notes: dict[int | None, dict[str, Any]] = {}
    for key, version in system.items():
        found = re.fullmatch(r"dashboard:(?:(\d+):)?note_ver", key)
        if found:
            prefix = key.removesuffix("ver") + "str:"
            pieces = (system[f"{prefix}{n}"] for n in range(len(system)) if f"{prefix}{n}" in system)
            notes[int(found[1]) if found[1] else None] = {"version": int(version), "body": "".join(pieces)}
    return notes


def _plots(system: Mapping[str, Any]) -> list[dict[str, str]]:
    """The graph objects that programs saved, put together from their pieces."""
    pieces: dict[str, dict[int, str]] = {}
    for key, value in system.items():
        name, _, piece = key.removeprefix(PLOT).rpartition(":")
        if key.startswith(PLOT) and piece.isdecimal():
            pieces.setdefault(name, {})[int(piece)] = value
    return [
        {"id": name, "graph_object": "".join(parts[n] for n in sorted(parts))} for name, parts in sorted(pieces.items())
    ]
