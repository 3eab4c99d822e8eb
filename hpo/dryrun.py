"""A dry run: a few real steps of some trials of a study, in a process of their own, and their cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo import aside
from hpo.config import Config
from hpo.corners import corners, listed
from hpo.launch.devices import Device
from hpo.space import Params, Value
from hpo.spec import StudySpec
from objectives.evaluation import Rehearsal


@dataclass(frozen=True)
class Tried:
    """What trials of these parameters would cost; the objective's own values for those that are not named.

    `trials` is how many of a list cost the same.
    """

    params: Params
    found: Rehearsal
    trials: int = 1


@dataclass(frozen=True)
class DryRun:
    """All that was tried, the objective's own values first, and the seconds that a worker takes to its first trial."""

    tried: Sequence[Tried]
    start_seconds: float


def dry_run(spec: StudySpec, config: Config, workers: int, devices: list[Device]) -> DryRun:
    """Take a few steps at the corners of the search space, or at the points that a study lists, as one of so many
    workers would, and nothing else.

    Raises HpoError where a trial cannot be run, also for want of memory, with the parameters it was of.
    """
    points, counts = _points(spec)
    began = time.time()
    answers = aside.look("rehearse", spec, config, points, devices=devices, workers=workers)
    start = answers[0]["at"] - began - answers[0]["took"]
    return DryRun(list(_tried(points, answers, counts)), start)


def _points(spec: StudySpec) -> tuple[list[dict[str, Value]], list[int]]:
    """What is tried, the objective's own values first, and how many trials each stands for."""
    if not spec.points:
        found = corners(spec.search)
        return found, [1] * len(found)
    some = list(listed(spec.points))
    return [{}, *(point for point, _ in some)], [1, *(count for _, count in some)]


def _tried(points: Sequence[Params], answers: Sequence[Mapping[str, Any]], counts: Sequence[int]) -> Iterator[Tried]:
    for params, answer, count in zip(points, answers, counts, strict=True):
        yield Tried(params, Rehearsal(**{name: value for name, value in answer.items() if name != "at"}), count)
