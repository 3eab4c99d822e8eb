"""What each kind of task reads of a row, predicts and is scored by; no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from objectives import answers, entities, labels, tags
from objectives import data as rows
from objectives.data import Reads, Splits, Table
from objectives.errors import DataError
from objectives.settings import Data, Generation, Task, Transfer, addresses, get

Targets = Callable[[Splits, Data], tuple[str, ...]]
"""Checks the labels of the training, validation and test rows; what there is to predict, in the order of the logits.
Raises DataError."""


def _of_label(find: Callable[[Splits, str], tuple[str, ...]]) -> Targets:
    """The same by what looks at the column of the labels alone."""
    return lambda splits, data: find(splits, data.label)


def _same(targets: tuple[str, ...]) -> tuple[str, ...]:
    return targets


@dataclass(frozen=True)
class Kind:
    """A kind of task, without what computes it.

    With `classes` each row has one class: rows are divided by it, few of each may be drawn, and the classes may be
    weighed. With `blank` a row's label may be empty, with `pair` a second text is needed. With `images` it reads these,
    where others read texts; with `windows` a long text is read in several, and none of it is cut off. `unknown` are
    addresses of settings that mean nothing to it, and must stay at their defaults. `named` are the classes of metrics
    such as `f1[CLASS]`, from what there is to predict. `labels` says whether there is a column to predict: `some` rows
    have one, where a column has its usual name, or is named.
    """

    targets: Targets
    classes: bool = False
    blank: bool = False
    pair: bool = False
    images: bool = False
    windows: bool = False
    unknown: Collection[str] = ()
    labels: Literal["all", "some", "none"] = "all"
    named: Callable[[tuple[str, ...]], tuple[str, ...]] = _same


_UNWEIGHED = ("training.class_weights", "data.shots")
_CHANGED = ("data.clean.strip_html", "data.clean.unicode")  # words and letters would not be where labels say
_OF_TEXTS = ("model.pooling", "data.pair", "data.max_length", "training.group_by_length", *_CHANGED)

_READS_ALONE = (*_UNWEIGHED, "data.pair", "model.pooling")
_ANY_TEXT = _of_label(labels.texts)

KINDS = {
    "text-classification": Kind(_of_label(rows.classes), classes=True),
    "multi-label-classification": Kind(_of_label(labels.several), blank=True, unknown=_UNWEIGHED),
    "text-regression": Kind(_of_label(labels.numbers), unknown=(*_UNWEIGHED, "training.label_smoothing")),
    "token-classification": Kind(
        tags.tags,
        unknown=("data.pair", "data.shots", "model.pooling", *_CHANGED),
        named=lambda targets: entities.types(targets) or targets,
    ),
    "question-answering": Kind(
        answers.spans,
        blank=True,
        pair=True,
        windows=True,
        unknown=(*_UNWEIGHED, "training.label_smoothing", "model.pooling", *_CHANGED),
    ),
    "translation": Kind(_ANY_TEXT, unknown=_READS_ALONE),
    "summarization": Kind(_ANY_TEXT, unknown=_READS_ALONE),
    "text-generation": Kind(_ANY_TEXT, labels="some", unknown=_READS_ALONE),
    "fill-mask": Kind(_ANY_TEXT, labels="none", unknown=_READS_ALONE),
    "image-classification": Kind(_of_label(rows.classes), classes=True, images=True, unknown=_OF_TEXTS),
}
"""By the names of transformers' pipelines, where these tell them apart."""


_WRITTEN = ("task.prefix", "task.max_target_length", *addresses(Generation, "task.generation."))
OWN: Mapping[str, Collection[str]] = {
    "task.prompt": ("text-classification", "multi-label-classification", "text-regression"),
    **dict.fromkeys(("task.stride", "task.n_best", "task.max_answer_length"), ("question-answering",)),
    **dict.fromkeys((*_WRITTEN, "model.decoder", "model.decoder_revision"), ("translation", "summarization")),
    **dict.fromkeys(("data.image_size", "training.augmentation"), ("image-classification",)),
    "task.packing": ("text-generation",),
    "task.mask_share": ("fill-mask",),
}
"""Settings that some kinds of tasks alone have, by address, and which these are."""


def check(settings: Transfer, searched: Collection[str] = ()) -> None:
    """Raises ObjectiveError where a setting is given or searched that means nothing to this kind of task."""
    kind = settings.task.kind
    plain = Transfer(task=Task(kind=kind), data=Data(path="-"))
    for address in (*KINDS[kind].unknown, *(name for name in OWN if not has(settings.task, name))):
        if address in searched or get(settings, address) != get(plain, address):
            raise DataError(address, f"{kind} has no such setting; remove it")
    if KINDS[kind].pair and settings.data.pair is None:
        raise DataError("data.pair", f"{kind} needs a second text; name its column")


def has(task: Task, address: str) -> bool:
    """Whether a setting, or a group of them, by its address, is one of this kind."""
    owners = (kinds for own, kinds in OWN.items() if f"{own}.".startswith(f"{address}."))
    return task.kind in next(owners, KINDS)


def load(task: Task, data: Data, seed: int, **more: Any) -> Splits:
    """The rows of a trial, as `data.load` says; raises DataError."""
    return rows.load(data, seed, reads=reads(task, data), **more)


def reads(task: Task, data: Data) -> Reads:
    """Which columns, how they are divided, and where a cell may be empty."""
    kind = KINDS[task.kind]
    usual = kind.labels == "some" and data.label == Data.model_fields["label"].default
    label = data.label if kind.labels == "all" or (kind.labels == "some" and not usual) else None
    columns = tuple(name for name in (data.text, data.pair, label) if name is not None)
    maybe = (data.label,) if usual else ()
    return Reads(columns, data.label if kind.classes else None, (data.label,) if kind.blank else (), maybe, kind.images)


def fingerprint(task: Task, data: Data) -> str:
    """What tells these rows from others, images among them where the task reads these; raises DataError."""
    return rows.fingerprint(data, KINDS[task.kind].images)


def targets(task: Task, data: Data, splits: Splits) -> tuple[str, ...]:
    """What there is to predict, in the order of the logits; raises DataError."""
    return KINDS[task.kind].targets(splits, data)


def named(task: Task, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that metrics such as `f1[CLASS]` may name."""
    return KINDS[task.kind].named(targets)


def undefined(metric: str, table: Table, label: str, targets: tuple[str, ...]) -> str | None:
    """Why a metric has no value on these rows, whatever a model says of them; None where it has one."""
    if metric == "auc" and (gone := sorted({*targets} - {*table.column(label)})):
        return f"none of them is {gone[0]!r}"
    if metric in ("r2", "pearson", "spearman") and len({*map(labels.number, table.column(label))}) == 1:
        return "all of them have the same number"
    if metric == "average_precision" and not any(map(labels.classes_of, table.column(label))):
        return "none of them has a class"
    return None


def texts(table: Table, data: Data) -> Sequence[str]:
    """What is read of each row, a pair as one text."""
    found = table.column(data.text)
    return found if data.pair is None else [" ".join(both) for both in zip(found, table.column(data.pair), strict=True)]


def has_texts(settings: Transfer) -> bool:
    """Whether rows are texts, whose words say something."""
    return not KINDS[settings.task.kind].images


def has_classes(settings: Transfer) -> bool:
    """Whether each row has one class."""
    return KINDS[settings.task.kind].classes


def written_tokens(task: Task) -> int:
    """The most tokens that a model writes, or is shown of what it should; 0 where the kind writes none."""
    if not has(task, "task.max_target_length"):
        return 0
    return max(task.max_target_length, task.generation.max_new_tokens or 0)
