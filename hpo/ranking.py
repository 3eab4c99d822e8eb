"""The models that a study may choose from, ranked before any is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from hpo import aside, space
from hpo.config import Config
from hpo.errors import StudyError
from hpo.launch.devices import Device
from hpo.spec import StudySpec
from objectives.evaluation import Rating
from objectives.settings import Transfer

NAME = "model.name"


@dataclass(frozen=True)
class Ranked:
    """A model by the name that the study has for it."""

    name: str
    rating: Rating


@dataclass(frozen=True)
class Wish:
    """Models by the names that the study has for them, how many of the best are tried first, and the rows to read of
    each split at most."""

    names: Sequence[str]
    first: int
    rows: int


def wish(spec: StudySpec, first: int | None, rows: int) -> Wish:
    """What can be done with this study; by default the better half is tried first, where not every point runs anyway.

    Raises StudyError.
    """
    names = [str(value) for value in space.values(spec.search[NAME])] if NAME in spec.search else []
    if not isinstance(spec.objective, Transfer) or len(names) < 2:
        right = f"right is such as {NAME}: [minilm, distilbert] under search"
        raise StudyError(f"{spec.study}: search.{NAME}: there are not several models to rank; {right}")
    fixed = spec.sampler.kind == "grid" or bool(spec.points)
    if fixed and first:
        raise StudyError(f"{spec.study}: every point runs once, in its order; leave --queue out")
    if first is not None and first > len(names):
        raise StudyError(f"{spec.study}: --queue {first} is more than the {len(names)} models there are")
    half = 0 if fixed else ceil(len(names) / 2)
    return Wish(names, half if first is None else first, rows)


def rank(spec: StudySpec, config: Config, wanted: Wish, devices: list[Device]) -> list[Ranked]:
    """The models, the most promising first, by LogME.

    Raises HpoError where one cannot be read, or where the task's head reads every token.
    """
    points = [{NAME: name} for name in wanted.names]
    answers = aside.look("rate", spec, config, points, devices=devices, options={"rows": wanted.rows})
    ratings = (Rating(**{key: value for key, value in answer.items() if key != "at"}) for answer in answers)
    found = [Ranked(name, rating) for name, rating in zip(wanted.names, ratings, strict=True)]
    return sorted(found, key=lambda ranked: -ranked.rating.log_me)


def queueing(spec: StudySpec, names: Sequence[str]) -> StudySpec:
    """The spec that tries these models before others, each with what the sampler draws beside it."""
    points = [{NAME: name} for name in names]
    return replace(spec, enqueue=(*spec.enqueue, *(point for point in points if point not in spec.enqueue)))


def plain(spec: StudySpec, ranked: Sequence[Ranked], names: Sequence[str]) -> dict[str, Any]:
    """All of it, ready for JSON."""
    models = [{"name": one.name, **asdict(one.rating)} for one in ranked]
    return {"study": spec.study, "models": models, "queued": list(names)}
