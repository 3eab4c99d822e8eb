"""Whether a study that went through faults is exactly what an undisturbed one is, and nothing is left behind."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.chaos import processes
from bench.chaos.place import TRIALS, Place

_TRIALS = "SELECT number, state, value, params FROM hpo.trials WHERE study = %s ORDER BY number"
_CURVES = """
SELECT number, step, val_loss, train_loss, metrics ->> 'accuracy' FROM hpo.learning_curves
WHERE study = %s ORDER BY number, step
"""
_POINTS = """
SELECT point, try FROM hpo.points JOIN studies USING (study_id) WHERE study_name = %s ORDER BY point, try
"""
_PLAN = "SELECT made, budget, error FROM hpo.plans JOIN studies USING (study_id) WHERE study_name = %s"
_SESSIONS = """
SELECT pid, state, query FROM pg_stat_activity
WHERE datname = 'hpo' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_LOCKS = "SELECT pid, mode FROM pg_locks WHERE locktype = 'advisory'"


@dataclass(frozen=True)
class Outcome:
    """What is compared between studies: trials by number, their curves, a grid's points."""

    states: list[tuple[int, str]]
    values: dict[str, Any]
    curves: dict[str, list[tuple[Any, ...]]]
    points: list[tuple[int, int]]
    plan: tuple[int, int, str | None]


def outcome(place: Place, study: str) -> Outcome:
    """What the database holds of a study; trials are named by their parameters, since numbers follow who came first."""
    trials = place.rows(_TRIALS, study)
    names = {row[0]: json.dumps(row[3], sort_keys=True) for row in trials}
    curves: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names.values()}
    for number, *evaluation in place.rows(_CURVES, study):
        curves[names[number]].append(tuple(evaluation))
    return Outcome(
        states=[(row[0], row[1]) for row in trials],
        values={names[row[0]]: row[2] for row in trials},
        curves=curves,
        points=[(row[0], row[1]) for row in place.rows(_POINTS, study)],
        plan=place.rows(_PLAN, study)[0],
    )


def incomplete(disturbed: Outcome, trials: int) -> list[str]:
    """What a study lacks of the exact budget, every trial COMPLETE or PRUNED, where values depend on the order."""
    numbers, states = [number for number, _ in disturbed.states], Counter(state for _, state in disturbed.states)
    found = []
    if numbers != list(range(trials)) or set(states) - {"COMPLETE", "PRUNED"}:
        found.append(f"trials: {states} of {trials}, numbers {numbers}")
    if disturbed.plan != (trials, trials, None):
        found.append(f"made, budget, error: {disturbed.plan}")
    return found


def wrong(calm: Outcome, disturbed: Outcome, kind: str, trials: int = TRIALS) -> list[str]:
    """Everything in which the disturbed study is not exact."""
    found = []
    if disturbed.states != [(number, "COMPLETE") for number in range(trials)]:
        found.append(f"trials: {Counter(state for _, state in disturbed.states)} of {trials}")
    if disturbed.plan != (trials, trials, None):
        found.append(f"made, budget, error: {disturbed.plan}")
    if kind == "grid" and disturbed.points != [(point, 1) for point in range(trials)]:
        found.append(f"points: {disturbed.points}")
    if set(disturbed.values) != set(calm.values):
        found.append("other parameters than undisturbed")
    for name, value in calm.values.items():
        if disturbed.values.get(name) != value:
            found.append(f"value of {name}: {disturbed.values.get(name)}, undisturbed {value}")
    found += [f"curve of {name} differs" for name, curve in calm.curves.items() if disturbed.curves.get(name) != curve]
    return found


def left_behind(place: Place, seconds: float = 30.0) -> list[str]:
    """Processes, connections, locks and files that should be gone; the server may take a moment to stop by itself."""
    found = [f"file {path.relative_to(place.disk)}" for path in place.disk.rglob("*") if path.is_file()]
    found += [f"file {path.name}" for path in place.config.home.rglob("*.part")]
    until = time.monotonic() + seconds
    while (alive := processes.everything(place.root, place.config.home)) and time.monotonic() < until:
        time.sleep(0.2)
    return found + [f"process {pid}" for pid in alive]


def connections(place: Place, seconds: float = 30.0) -> list[str]:
    """Sessions and advisory locks of others than ourselves, while the server still runs.

    A session ends a moment after the process that had it, and so does one of ours.
    """
    until = time.monotonic() + seconds
    while (found := _held(place)) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _held(place: Place) -> list[str]:
    return [f"session {row}" for row in place.rows(_SESSIONS)] + [f"lock {row}" for row in place.rows(_LOCKS)]
