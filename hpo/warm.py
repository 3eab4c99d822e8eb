"""What past studies of a database know of a new one: their best points, to be tried first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpo.complaints import nearest
from hpo.errors import StudyError
from hpo.space import Params
from hpo.spec import Known, StudySpec

MOST = 4
"""Points that are taken over at the most: a start, not a search."""

_SHARED = 0.5  # of the addresses that are searched, so much must be known of a point
_ENOUGH = 3  # complete trials that a study has whose best is worth anything

Row = Mapping[str, Any]


def started(spec: StudySpec, studies: Sequence[Row], trials: Callable[[str], Sequence[Row]]) -> StudySpec:
    """The spec of a new study with the points that `warm_start` brings.

    `studies` are all of the database, newest last, and `trials` gives the trials of one, as rows of
    `hpo.report.Report`. Related are complete studies of the same task, metric and direction; first those of the same
    model, then the newer. Each gives its best point in turn, then its second, as Feurer, Springenberg and Hutter
    (Initializing Bayesian Hyperparameter Optimization via Meta-Learning, AAAI 2015) start a search with the best of
    similar data sets. Raises StudyError where the study that is named is not there, or has nothing to give.
    """
    if spec.warm_start == "off":
        return spec
    named = spec.warm_start != "auto"
    sources = [_named(spec, studies)] if named else _related(spec, studies)
    best = (_best(spec, study, trials(study["study"])) for study in sources)
    given = [*_in_turn(best)]
    tried = [*([spec.defaults] if spec.defaults else []), *spec.enqueue]
    found = tuple(itertools.islice(_distinct(given, tried), MOST))
    if named and not given:
        said = "has no complete trial of this metric whose values lie in this search"
        raise StudyError(f"{spec.study}: warm_start: {spec.warm_start} {said}")
    return replace(spec, known=found)


def _named(spec: StudySpec, studies: Sequence[Row]) -> Row:
    found = {row["study"]: row for row in studies}
    if spec.warm_start not in found:
        advice = nearest(spec.warm_start, found)
        raise StudyError(f"{spec.study}: warm_start: no study {spec.warm_start} in this database; {advice}")
    return found[spec.warm_start]


def _related(spec: StudySpec, studies: Sequence[Row]) -> list[Row]:
    wanted = spec.to_dict()
    alike = [
        row
        for row in reversed(studies)
        if row["complete"] >= _ENOUGH
        and row["study"] != spec.study
        and "@" not in row["study"]
        and (row["metric"], row["direction"]) == (spec.metric, spec.direction)
        and _kind(row["spec"]) == _kind(wanted)
    ]
    return sorted(alike, key=lambda row: _model(row["spec"]) != _model(wanted))


def _kind(spec: Mapping[str, Any]) -> Any:
    """What is tuned: the kind of task, a function of one's own, or the one kind that simulated objectives are."""
    objective = spec["objective"]
    return objective.get("task", {}).get("kind") or objective.get("python", {}).get("function")


def _model(spec: Mapping[str, Any]) -> Any:
    return spec["objective"].get("model", {}).get("name")


def _best(spec: StudySpec, study: Row, trials: Iterable[Row]) -> list[Known]:
    """The points of a study that the new one can try, the best first."""
    alike = (study["metric"], study["direction"]) == (spec.metric, spec.direction)
    complete = [row for row in trials if alike and row["state"] == "COMPLETE"]
    sign = 1 if spec.direction == "minimize" else -1
    known = []
    for row in sorted(complete, key=lambda row: sign * row["value"]):
        params = row["params"]
        inside = {name: params[name] for name, range_ in spec.search.items() if params.get(name, ...) in range_}
        if inside and len(inside) >= _SHARED * len(spec.search):
            known.append(Known(study["study"], row["number"], inside))
    return known


def _in_turn(lists: Iterable[Sequence[Known]]) -> Iterator[Known]:
    for row in itertools.zip_longest(*lists):
        yield from (point for point in row if point is not None)


def _distinct(points: Iterable[Known], tried: Iterable[Params]) -> Iterator[Known]:
    """Each point once, and none that is tried anyway."""
    seen = [*tried]
    for point in points:
        if point.params not in seen:
            seen.append(point.params)
            yield point
