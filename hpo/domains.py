"""Promoted models by domains: each tested on the test rows of several studies, or on files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hpo import baselines, compare, intervals, predict, promote, scores
from hpo.compare import MEASURES
from hpo.config import Config
from hpo.errors import HpoError, StudyError
from hpo.intervals import Interval
from hpo.report import Report
from hpo.scores import Said
from hpo.store import Store
from hpo.trained import Models
from objectives.sources import NOTE

_KIND = "text-classification"


@dataclass(frozen=True)
class Domain:
    """Rows to test on: what is read and what is right [rows]."""

    name: str
    texts: Sequence[str]
    labels: Sequence[str]


@dataclass(frozen=True)
class Model:
    """A model in a folder, the columns that its training read and predicted, and its classes.

    `known` are the texts that trained it or chose it; None where the folder alone is given, which does not say.
    """

    name: str
    folder: Path
    text: str
    label: str
    classes: Sequence[str]
    known: frozenset[str] | None = None


@dataclass(frozen=True)
class Cell:
    """One model on one domain; `seen` counts rows with a text of the model's training, None where nobody can say."""

    model: str
    domain: str
    rows: int
    seen: int | None
    measures: Mapping[str, Interval]


def promoted(config: Config, store: Store, rows: Report, study: str, into: Path) -> Model:
    """The model of a study's promotion, fetched into an empty folder; raises HpoError where there is none."""
    found = compare.promoted(store, rows, study)
    number = found.found.winner.trials[0].number
    trial = rows.trial(found.companion.spec.study, number)
    Models(f"{config.trained}/{found.companion.folder}").fetch(trial["trial_id"], into)
    objective, splits = baselines.divided(config, found.companion.spec, found.own)
    texts = {*splits.train.column(objective.data.text), *splits.valid.column(objective.data.text)}
    return _model(study, into, frozenset(texts))


def of_folder(folder: Path) -> Model:
    """The model of a folder that `hpo promote` wrote; raises HpoError where it is none."""
    return _model(folder.name, folder, None)


def is_model(folder: str) -> bool:
    """Whether this names a folder that `hpo promote` wrote."""
    return (Path(folder) / NOTE).is_file()


def _model(name: str, folder: Path, known: frozenset[str] | None) -> Model:
    try:
        note = json.loads((folder / NOTE).read_text("utf-8"))
        kind, columns, classes = note["task"], (note["text"], note["label"]), note.get("classes", ())
    except (OSError, ValueError, KeyError) as error:
        raise HpoError(f"{folder}: is no model folder that hpo promote wrote: {type(error).__name__}") from error
    if kind != _KIND or note.get("pair"):
        raise HpoError(
            f"{name}: is of the task {kind}{' of pairs' * bool(note.get('pair'))}; --on is for {_KIND} of one text"
        )
    return Model(name, folder, *columns, classes, known)


def of_study(config: Config, store: Store, study: str) -> Domain:
    """The rows that a study sets aside to test on; raises StudyError where it has none, or they are not here."""
    own = store.plan(study)
    found = promote.promotable(own.spec)
    if found.task.kind != _KIND or found.data.pair is not None:
        raise StudyError(f"--on {study}: has no rows of one text and one class; right is a study of {_KIND}")
    objective, splits = baselines.divided(config, own.spec, own)
    if splits.test is None:
        raise StudyError(f"--on {study}: sets no test rows aside: its data.split.test is 0, or it has no data.test")
    return Domain(study, splits.test.column(objective.data.text), splits.test.column(objective.data.label))


def of_file(file: str, model: Model) -> Domain:
    """All rows of a file, by the columns that this model's training read and predicted; raises HpoError."""
    table = predict.rows(file, None, None)
    for column in (model.text, model.label):
        if column not in table.columns:
            found = ", ".join(table.columns)
            raise HpoError(f"--on {file}: has no column '{column}', as the rows of {model.name} had; found {found}")
    return Domain(Path(file).name, table.column(model.text), table.column(model.label))


def crossed(config: Config, models: Sequence[Model], domains: Sequence[Domain], seed: int = 0) -> list[Cell]:
    """Every model on every domain, model by model; raises HpoError.

    A model is what its promotion wrote, of one seed, so that the 95 % intervals are over test rows alone, by a
    bootstrap whose draws of a domain's rows are the same for all models.
    """
    for model in models:
        _check_labels(model, domains)
    texts = [text for domain in domains for text in domain.texts]
    answers = {model.name: predict.asked(config, model=str(model.folder.absolute()), texts=texts) for model in models}
    found, start = {}, 0
    for domain in domains:
        end = start + len(domain.texts)
        said = [_said(domain, [label for label, _ in answers[model.name][start:end]]) for model in models]
        for model, measures in zip(models, _measured(said, seed), strict=True):
            found[model.name, domain.name] = Cell(
                model.name, domain.name, len(domain.texts), _seen(model, domain), measures
            )
        start = end
    return [found[model.name, domain.name] for model in models for domain in domains]


def _check_labels(model: Model, domains: Sequence[Domain]) -> None:
    for domain in domains:
        if not {*model.classes} & {*domain.labels}:
            theirs = ", ".join(sorted({*domain.labels})[:10])
            raise HpoError(f"{model.name} predicts {', '.join(model.classes)}, and --on {domain.name} has {theirs}")


def _seen(model: Model, domain: Domain) -> int | None:
    return None if model.known is None else sum(text in model.known for text in domain.texts)


def _said(domain: Domain, labels: Sequence[str]) -> Said:
    """What a model said of the rows, which has no loss here; a class that is not among the rows' own is wrong."""
    classes = sorted({*domain.labels, *labels})
    places = {name: place for place, name in enumerate(classes)}
    truth, predicted = (np.array([places[name] for name in some]) for some in (domain.labels, labels))
    return Said(classes, truth, predicted, np.full(len(truth), np.nan))


def _measured(said: Sequence[Said], seed: int) -> list[dict[str, Interval]]:
    """The measures of each of several models on the same rows."""
    sides = [[one] for one in said]
    draws = {name: intervals.drawn(sides, partial(scores.score, name), seed) for name in MEASURES}
    return [{name: of.interval(side) for name, of in draws.items()} for side in range(len(sides))]
