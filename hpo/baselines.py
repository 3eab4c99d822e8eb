"""Simple rules on the test rows of a study, to be compared with what was tuned."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpo import compare, predict
from hpo import spec as studies
from hpo.compare import Contestant, Promoted
from hpo.config import Config
from hpo.errors import HpoError, StudyError
from hpo.scores import Said
from hpo.spec import StudySpec
from hpo.store import Plan
from objectives import data, kinds, rules, settings, tfidf
from objectives.data import Splits
from objectives.errors import ObjectiveError
from objectives.rules import Labelled
from objectives.settings import Transfer
from objectives.tables import Table

KINDS = ("majority", "tfidf", "zero-shot")


@dataclass(frozen=True)
class Ground:
    """The rows that a study's models were trained and tested on: what rules learn from, and what they are asked."""

    objective: Transfer
    classes: Sequence[str]
    rows: Splits

    @property
    def test(self) -> Labelled:
        """The rows that are asked about, each as one text."""
        return self.labelled("test")

    @property
    def fits_all(self) -> bool:
        """Whether the validation rows train, too."""
        return self.objective.data.fit == "all"

    def labelled(self, split: Literal["valid", "test"], most: int | None = None) -> Labelled:
        """The rows of a split, pairs as one text, of each text so many letters at the most."""
        table = self.rows.valid if split == "valid" else self.rows.test
        assert table is not None  # noqa: S101 - they were scored
        return _labelled(self.objective, table, most)

    def taught(self, shots: int | None, seed: int, most: int | None = None) -> Labelled:
        """The training rows, so many of each class by the seed; None for all."""
        wanted = self.objective.data.model_copy(update={"shots": shots})
        return _labelled(self.objective, data.taught(self.rows.train, wanted, seed), most)

    def said(self, labels: Sequence[str]) -> Said:
        """These classes of the test rows; a rule has no loss."""
        truth, predicted = (
            np.array([self.classes.index(name) for name in some]) for some in (self.test.labels, labels)
        )
        return Said(tuple(self.classes), truth, predicted, np.full(len(truth), np.nan))


def ground(config: Config, study: Promoted) -> Ground:
    """The rows of a promoted study; raises StudyError where they are not here as they were."""
    found, rows = divided(config, study.companion.spec, study.own)
    return Ground(found, data.classes(rows, found.data.label), rows)


def divided(config: Config, spec: StudySpec, own: Plan) -> tuple[Transfer, Splits]:
    """The objective of a spec with paths as they are here, and all rows of its study `own`, the test rows too.

    Raises StudyError where they are not here as they were.
    """
    found = studies.settings_for(spec, {}, config.data_root)
    assert isinstance(found, Transfer)  # noqa: S101 - no other has rows
    name, plain = own.spec.study, found.data.model_copy(update={"shots": None})
    try:
        if kinds.fingerprint(found.task, plain) != own.fingerprint:
            raise StudyError(f"{name}: the rows are not those that it was made with; put the same files back")
        return found, kinds.load(found.task, plain, settings.split_seed(found), test=True)
    except ObjectiveError as error:
        raise StudyError(f"{name}: objective.{error}") from error


def _labelled(objective: Transfer, table: Table, most: int | None = None) -> Labelled:
    found = objective.data
    read = [found.text, *([found.pair] if found.pair else [])]
    cut = table.with_columns({**table.columns, **{name: [text[:most] for text in table.column(name)] for name in read}})
    return Labelled(kinds.texts(cut, found), table.column(found.label))


def texts_of(classes: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """The text that stands for each class: one of those `given` as CLASS=TEXT, else its name; raises HpoError."""
    found = {name: name.replace("_", " ").replace("-", " ") for name in classes}
    for pair in given:
        name, equals, text = pair.partition("=")
        if name not in found or not equals or not text.strip():
            raise HpoError(f"--label-text {pair}: CLASS=TEXT is right, of the classes {', '.join(classes)}")
        found[name] = text.strip()
    return found


def made(
    config: Config, here: Ground, kind: str, names: Mapping[str, str], among: Sequence[Contestant]
) -> Iterator[Contestant]:
    """The rule of this kind beside these contestants; raises HpoError.

    `tfidf` learns from as many rows of each class as these did, once each, drawn by the same seeds. The others have no
    use of few rows.
    """
    if kind != "majority" and not kinds.has_texts(here.objective):
        raise HpoError(f"--baseline {kind}: reads words, and these rows are images; right is majority")
    if kind == "tfidf":
        counts = dict.fromkeys(one.shots for one in among)
        for shots in counts:
            seeds = next(one.seeds for one in among if one.shots == shots)
            name = kind if len(counts) == 1 else f"{kind}, {compare.rows_of(shots)}"
            yield _by_words(here, name, None if shots is None else int(shots), seeds)
        return
    started = time.monotonic()
    if kind == "majority":
        train = here.taught(None, 0)
        said = rules.majority(train + here.labelled("valid") if here.fits_all else train, len(here.test.texts))
    else:
        tree = here.objective.model_dump()
        answers = predict.asked(config, settings=tree, names=dict(names), texts=list(here.test.texts))
        said = [label for label, _ in answers]
    taken = time.monotonic() - started
    yield Contestant(kind, [here.said(said)], training=taken if kind == "majority" else None)


def _by_words(here: Ground, name: str, shots: int | None, seeds: tuple[int, ...]) -> Contestant:
    started, said = time.monotonic(), []
    draws = () if shots is None else seeds  # of all rows nothing is drawn
    most = tfidf.READ // 2 if here.objective.data.pair else None  # so that neither text of a pair hides the other
    valid, test = here.labelled("valid", most), here.labelled("test", most)
    for seed in draws or (0,):
        train = here.taught(shots, seed, most)
        labels = rules.by_words(train, valid, test.texts, all_rows=here.fits_all)
        said.append(here.said(labels))
    return Contestant(name, said, draws, shots, training=time.monotonic() - started)
