"""The few statements that write Optuna's own tables, where its public API has no transaction to share with ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from optuna.distributions import json_to_distribution
from sqlalchemy import Connection, text

from hpo.wishes import HOLDS_TRIAL

_NOW = "clock_timestamp() AT TIME ZONE 'UTC'"  # Optuna keeps naive UTC


def as_json(value: Any) -> str:
    """JSON as the database keeps it: every script stays readable in plain SQL."""
    return json.dumps(value, ensure_ascii=False)


def insert_trial(
    connection: Connection, study_id: int, state: Literal["RUNNING", "WAITING"], params: Mapping[str, Any] | None = None
) -> int:
    """A new row of `trials` with the next number; `params` will be what it is suggested. Returns its trial_id.

    The study's row is locked as Optuna does it, so that numbers have no gaps beside foreign clients either.
    """
    connection.execute(text("SELECT FROM studies WHERE study_id = :study FOR UPDATE"), {"study": study_id})
    trial_id = connection.scalar(
        text(
            "INSERT INTO trials (number, study_id, state, datetime_start) "
            "SELECT coalesce(max(number) + 1, 0), :study, CAST(:state AS trialstate), "
            f"CASE CAST(:state AS text) WHEN 'RUNNING' THEN {_NOW} END "
            "FROM trials WHERE study_id = :study RETURNING trial_id"
        ),
        {"study": study_id, "state": state},
    )
    if params is not None:
        connection.execute(
            text(
                "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (:trial, 'fixed_params', :json)"
            ),
            {"trial": trial_id, "json": as_json(params)},
        )
    return int(trial_id)


def start_waiting_trial(connection: Connection, study_id: int) -> int | None:
    """Switch the first WAITING row that nobody paused to RUNNING and return its trial_id; None where there is none."""
    found: int | None = connection.scalar(
        text(
            f"UPDATE trials SET state = 'RUNNING', datetime_start = {_NOW} WHERE trial_id = ("
            "SELECT trial_id FROM trials WHERE study_id = :study AND state = 'WAITING' "
            f"AND NOT {HOLDS_TRIAL.format(trial='trials.trial_id')} "
            "ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) AND state = 'WAITING' RETURNING trial_id"
        ),
        {"study": study_id},
    )
    return found


def fail_trial(connection: Connection, trial_id: int) -> bool:
    """Switch a row that is not finished to FAIL; False where it is finished by now."""
    fail = (
        f"UPDATE trials SET state = 'FAIL', datetime_start = coalesce(datetime_start, {_NOW}), "
        f"datetime_complete = {_NOW} WHERE trial_id = :trial AND state IN ('RUNNING', 'WAITING')"
    )
    return bool(connection.execute(text(fail), {"trial": trial_id}).rowcount)


def parameters(connection: Connection, trial_id: int) -> dict[str, Any]:
    """What a trial ran with, or, where it never ran, what it was to be suggested; real values."""
    fixed = "SELECT value_json FROM trial_system_attributes WHERE trial_id = :trial AND key = 'fixed_params'"
    found = json.loads(connection.scalar(text(fixed), {"trial": trial_id}) or "{}")
    drawn = (
        "SELECT param_name, param_value, distribution_json FROM trial_params WHERE trial_id = :trial ORDER BY param_id"
    )
    for row in connection.execute(text(drawn), {"trial": trial_id}):
        found[row.param_name] = json_to_distribution(row.distribution_json).to_external_repr(row.param_value)
    return dict(found)


def set_user_attribute(connection: Connection, trial_id: int, key: str, value: Any) -> None:
    """What programs that read the study with Optuna see beside the trial."""
    statement = "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (:trial, :key, :json)"
    connection.execute(text(statement), {"trial": trial_id, "key": key, "json": as_json(value)})


def drop_rungs(connection: Connection, trial_id: int, keep: int) -> None:
    """Forget the rungs of successive halving from number `keep` on, as if the trial had not reached them."""
    connection.execute(
        text(
            "DELETE FROM trial_system_attributes WHERE trial_id = :trial AND key LIKE 'completed\\_rung\\_%' "
            "AND substr(key, 16)::integer >= :keep"
        ),
        {"trial": trial_id, "keep": keep},
    )


COUNT_RUNGS = "SELECT count(*) FROM trial_system_attributes WHERE trial_id = :trial AND key LIKE 'completed\\_rung\\_%'"


def rename_study(connection: Connection, study_id: int, name: str) -> None:
    """Give a study another name; Optuna has no way to."""
    statement = text("UPDATE studies SET study_name = :name WHERE study_id = :study")
    connection.execute(statement, {"name": name, "study": study_id})


_OF_A_TRIAL = {
    "trial_params": "param_name, param_value, distribution_json",
    "trial_values": "objective, value, value_type",
    "trial_intermediate_values": "step, intermediate_value, intermediate_value_type",
    "trial_user_attributes": "key, value_json",
    "trial_system_attributes": "key, value_json",
}
"""Optuna's tables that belong to a trial, and what they hold beside their keys."""


def copy_trials(connection: Connection, old: int, new: int) -> None:
    """All trials of a study into an empty one, with their numbers; Optuna's `copy_study` shares no transaction."""
    connection.execute(
        text(
            "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
            "SELECT number, :new, state, datetime_start, datetime_complete FROM trials WHERE study_id = :old "
            "ORDER BY number"
        ),
        {"old": old, "new": new},
    )
    for table, columns in _OF_A_TRIAL.items():
        copy_rows(connection, table, columns, old, new)


def copy_rows(connection: Connection, table: str, columns: str, old: int, new: int) -> None:
    """The rows of a table that belong to the trials of one study, for those of the same numbers in another."""
    connection.execute(
        text(
            f"INSERT INTO {table} (trial_id, {columns}) SELECT n.trial_id, {columns} FROM {table} "
            "JOIN trials o USING (trial_id) JOIN trials n USING (number) "
            "WHERE o.study_id = :old AND n.study_id = :new"
        ),
        {"old": old, "new": new},
    )
