"""Trials as optuna-dashboard's page takes them, written from the database's rows in bulk."""

from __future__ import annotations

import json
import numbers
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, json_to_distribution
from sqlalchemy import Connection, text

ARTIFACTS = "artifacts:"
LONGEST = 1024  # letters of an attribute that is no text, as optuna-dashboard cuts it

# The trials from a number on, and those that were unfinished when they were last read.
_OF = "t.study_id = :study AND (t.number >= :first OR t.number = ANY(CAST(:open AS integer[])))"
_TOLD = """CASE {0}_type WHEN 'INF_POS' THEN '"inf"' WHEN 'INF_NEG' THEN '"-inf"' {1} ELSE CAST({0} AS text) END"""
_TRIALS = text(
    "SELECT t.trial_id, t.number, t.state, t.datetime_start, t.datetime_complete, v.value, "
    f"{_TOLD.format('v.value', '')} AS told "
    "FROM trials t LEFT JOIN trial_values v ON v.trial_id = t.trial_id AND v.objective = 0 "
    f"WHERE {_OF} ORDER BY t.number"
)
_NAN = """WHEN 'NAN' THEN '"nan"'"""
_CURVES = text(
    """SELECT trial_id, string_agg('{"step": ' || step || ', "value": ' || """
    f"{_TOLD.format('intermediate_value', _NAN)} || '}}', ', ' ORDER BY step) "
    f"FROM trial_intermediate_values JOIN trials t USING (trial_id) WHERE {_OF} GROUP BY trial_id"
)
_PARAMS = text(
    "SELECT trial_id, param_name, param_value, distribution_json "
    f"FROM trial_params JOIN trials t USING (trial_id) WHERE {_OF} ORDER BY trial_id, param_id"
)
_USER = text(
    "SELECT trial_id, key, value_json FROM trial_user_attributes JOIN trials t USING (trial_id) "
    f"WHERE {_OF} ORDER BY trial_user_attribute_id"
)
_SYSTEM = text(
    "SELECT trial_id, key, value_json FROM trial_system_attributes JOIN trials t USING (trial_id) "
    f"WHERE {_OF} AND (key IN ('constraints', 'fixed_params') OR key LIKE 'artifacts:%') "
    "ORDER BY trial_system_attribute_id"
)


@dataclass(frozen=True, slots=True)
class Written:
    """A trial: what is known of it, and its JSON without the closing brace, the note and the artifacts.

    `params` holds for each parameter the value as Optuna stores it and the distribution as JSON; `sortable` tells of
    each attribute whether it is a number.
    """

    trial_id: int
    number: int
    state: str
    value: float | None
    params: Mapping[str, tuple[float, str]]
    sortable: Mapping[str, bool]
    has_curve: bool
    artifacts: Sequence[Mapping[str, Any]]
    json: str

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("COMPLETE", "PRUNED", "FAIL")


def read(connection: Connection, study_id: int, first: int, unfinished: Sequence[int]) -> list[Written]:
    """The trials from number `first` on, and the `unfinished` ones before, by number."""
    values = {"study": study_id, "first": first, "open": list(unfinished)}
    curves = {row[0]: row[1] for row in connection.execute(_CURVES, values)}
    params: dict[int, dict[str, tuple[float, str]]] = defaultdict(dict)
    for trial_id, name, value, distribution in connection.execute(_PARAMS, values):
        params[trial_id][name] = (value, distribution)
    user, system = (_attributes(connection, statement, values) for statement in (_USER, _SYSTEM))
    return [
        _written(
            study_id, row, params[row.trial_id], curves.get(row.trial_id), user[row.trial_id], system[row.trial_id]
        )
        for row in connection.execute(_TRIALS, values).all()
    ]


def attributes(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Attributes as the page takes them: each value as text."""
    return [{"key": key, "value": _shown(value)} for key, value in found.items()]


@lru_cache(maxsize=4096)
def distribution(written: str) -> BaseDistribution:
    """The distribution that Optuna keeps as this JSON."""
    return json_to_distribution(written)


@lru_cache(maxsize=4096)
def described(of: BaseDistribution) -> str:
    """A distribution as the page takes it, in JSON."""
    if isinstance(of, CategoricalDistribution):
        choices = [{"pytype": str(type(choice)), "value": str(choice)} for choice in of.choices]
        return json.dumps({"type": "CategoricalDistribution", "choices": choices})
    limits = {name: getattr(of, name) for name in ("low", "high", "step", "log")}
    return json.dumps({"type": type(of).__name__, **limits})


def _attributes(connection: Connection, statement: Any, values: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial_id, key, value in connection.execute(statement, values):
        found[trial_id][key] = json.loads(value)
    return found


def _written(
    study_id: int,
    row: Any,
    params: Mapping[str, tuple[float, str]],
    curve: str | None,
    user: Mapping[str, Any],
    system: Mapping[str, Any],
) -> Written:
    artifacts = [json.loads(value) for key, value in system.items() if key.startswith(ARTIFACTS)]
    parts = [
        f'{{"trial_id": {row.trial_id}, "study_id": {study_id}, "number": {row.number}',
        f'"state": "{row.state.capitalize()}"',
        f'"params": [{", ".join(_param(name, *value) for name, value in params.items())}]',
        f'"fixed_params": {json.dumps(_fixed(system.get("fixed_params", {})))}',
        f'"user_attrs": {json.dumps(attributes(user))}',
        f'"constraints": {json.dumps(system.get("constraints", []))}',
        f'"intermediate_values": [{curve or ""}]',
        *([f'"values": [{row.told}]'] if row.told is not None else []),
        *_times(row.datetime_start, row.datetime_complete),
    ]
    sortable = {key: isinstance(value, numbers.Real) and not isinstance(value, bool) for key, value in user.items()}
    return Written(
        trial_id=row.trial_id,
        number=row.number,
        state=row.state,
        value={'"inf"': float("inf"), '"-inf"': float("-inf")}.get(row.told, row.value),
        params=params,
        sortable=sortable,
        has_curve=curve is not None,
        artifacts=[artifact for artifact in artifacts if artifact is not None],
        json=", ".join(parts),
    )


def _times(start: datetime | None, end: datetime | None) -> list[str]:
    times = {"datetime_start": start, "datetime_complete": end}
    return [f'"{name}": "{time.isoformat()}"' for name, time in times.items() if time is not None]


def _fixed(params: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "param_external_value": str(value)} for name, value in params.items()]


def _param(name: str, value: float, written: str) -> str:
    of = distribution(written)
    if isinstance(of, CategoricalDistribution | IntDistribution):
        return _named(name, int(value), written)
    return _named_float(name, written).replace("\0", repr(value))


@lru_cache(maxsize=65536)
def _named(name: str, value: int, written: str) -> str:
    of = distribution(written)
    external = of.to_external_repr(value)
    inner = value if isinstance(of, CategoricalDistribution) else float(value)
    return _one(name, repr(inner), json.dumps(str(external)), type(external), of)


@lru_cache(maxsize=4096)
def _named_float(name: str, written: str) -> str:
    """With a zero byte, which JSON has nowhere, in the place of the value."""
    return _one(name, "\0", '"\0"', float, distribution(written))


def _one(name: str, inner: str, external: str, kind: type, of: BaseDistribution) -> str:
    return (
        f'{{"name": {json.dumps(name)}, "param_internal_value": {inner}, "param_external_value": {external}, '
        f'"param_external_pytyp": "{kind}", "distribution": {described(of)}}}'
    )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, numbers.Real) else json.dumps(value)[:LONGEST]
