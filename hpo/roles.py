"""Which task rows are for, and which of their columns it reads and predicts: a guess, or what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from hpo import columns, pairs, targets
from hpo.columns import Column
from hpo.errors import HpoError
from objectives.folders import SUFFIXES
from objectives.kinds import KINDS
from objectives.published import IMAGE
from objectives.settings import TASK_ALIASES

Form = Literal["table", "sentences", "images"]
"""How rows come: as a table, as sentences of a CoNLL file, as images by class."""

_QUESTIONS, _CONTEXTS, _ANSWERS = "question query 问题", "context passage paragraph 上下文 段落", "answers answer 答案"
_NAMES = 3
"""Words that a name has at most, on average: what an author is called is no summary."""


@dataclass(frozen=True)
class Look:
    """What is known of rows: their columns, what was asked for, and which columns the hub says hold classes.

    A `pair` that was asked for is none of the columns: nothing else can be made of it.
    """

    columns: dict[str, Column]
    text: str | None = None
    label: str | None = None
    pair: Column | None = None
    classes: tuple[str, ...] = ()
    form: Form = "table"

    @cached_property
    def texts(self) -> list[Column]:
        """The columns that look like texts, without the one asked for as the label."""
        return [column for column in self.columns.values() if column.name != self.label and columns.is_text(column)]

    @cached_property
    def read(self) -> Column | None:
        """The column that is read where a task reads one; None where none looks like it."""
        return columns.text_of(self.columns, self.text, self.label) if self.text or self.texts else None

    @property
    def others(self) -> list[Column]:
        """All that might be predicted: the column asked for, or all but the text."""
        if self.label is not None:
            return [self.columns[self.label]]
        return [column for column in self.columns.values() if column is not self.read]

    @property
    def may_be_classes(self) -> list[Column]:
        """Those of them that hold classes, for all that can be seen."""
        if self.label is not None:
            return [column for column in self.others if not column.refused]
        known = self.classes or self.columns
        return [column for column in self.others if not column.doubted and column.name in known]

    def a(self, names: str) -> Column | None:
        """The column of one of these names, the first of them that there is."""
        return next((self.columns[name] for name in names.split() if name in self.columns), None)


@dataclass(frozen=True)
class Roles:
    """A kind of task, and the columns that it reads and predicts.

    `others` might have been read instead of the text, or with it; `why` says more of a guess that is not sure.
    """

    kind: str
    text: Column
    label: Column | None = None
    pair: Column | None = None
    others: tuple[Column, ...] = ()
    why: str = ""

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns that are read."""
        return (self.text,) if self.pair is None else (self.text, self.pair)

    @property
    def taken(self) -> tuple[str, ...]:
        """The names of all columns that have a role."""
        return tuple(column.name for column in (self.text, self.pair, self.label) if column is not None)


@dataclass(frozen=True)
class Asked:
    """How a kind of task is told: whether rows look like it, and the columns, or HpoError where it cannot be."""

    fits: Callable[[Look], bool]
    roles: Callable[[Look], Roles]


def of(look: Look, task: str | None = None) -> Roles:
    """The task and the columns: those asked for, else the first task that the rows look like.

    Rows that look like none are refused as text-classification refuses them: HpoError.
    """
    kind = None if task is None else _known(task)
    for name, option in ((look.text, "--text"), (look.label, "--label")):
        if name is not None:
            columns.named(look.columns, name, option)
    if look.label is not None and look.text == look.label:
        raise HpoError(f"column {look.label!r} is no label: it is the text; name another with --label")
    likely = (name for name, asked in ASKED.items() if asked.fits(look) and (look.pair is None or _reads_pairs(name)))
    kind = kind or next(likely, "text-classification")
    if look.pair is not None and not _reads_pairs(kind):
        raise HpoError(f"--pair: {kind} reads one column; leave it out")
    if look.form == "images" and not KINDS[kind].images:
        raise HpoError(f"it holds images, and {kind} reads texts; right is image-classification")
    found = ASKED[kind].roles(look)
    return replace(found, kind=kind, pair=look.pair or found.pair)


def _reads_pairs(kind: str) -> bool:
    return "data.pair" not in KINDS[kind].unknown


def _known(task: str) -> str:
    kind = TASK_ALIASES.get(task, task)
    if kind not in KINDS:
        near = get_close_matches(task, (*KINDS, *TASK_ALIASES), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise HpoError(f"--task: there is no task {task!r}; right is one of {', '.join(KINDS)}{hint}")
    return kind


# images


def _are_paths(column: Column) -> bool:
    looked_at = column.filled[:500]
    return bool(looked_at) and columns.mostly(value.lower().endswith((*SUFFIXES, IMAGE)) for value in looked_at)


def _has_images(look: Look) -> bool:
    return look.form == "images" or any(map(_are_paths, look.columns.values()))


def _images(look: Look) -> Roles:
    wanted = [look.columns[look.text]] if look.text else look.columns.values()
    path = next((column for column in wanted if look.form == "images" or _are_paths(column)), None)
    if path is None:
        right = "right is a folder with a folder for each class, a .zip of these, or a column of their paths"
        raise HpoError(f"image-classification reads images, and {_seen(look)}; {right}")
    return Roles("", path, columns.label_of(_labels(look), look.label, path.name))


# a tag for each word


def _tagged(look: Look) -> tuple[Column, Column] | None:
    found = [column for column in look.columns.values() if column.name != look.text]
    labels = [look.columns[look.label]] if look.label else found
    texts = [look.columns[look.text]] if look.text else look.columns.values()
    both = ((text, label) for text in texts for label in labels if text is not label)
    return next(((text, label) for text, label in both if targets.are_tags(text, label)), None)


def _has_tags(look: Look) -> bool:
    found = _tagged(look)
    return look.form == "sentences" or (found is not None and targets.say_tags(found[1]))


def _tags(look: Look) -> Roles:
    both = (look.columns["text"], look.columns["label"]) if look.form == "sentences" else _tagged(look)
    if both is None:
        right = "right is a CoNLL file, or a column of texts and one of as many tags as each text has words"
        raise HpoError(f"token-classification needs a tag for each word, and {_seen(look)}; {right}")
    return Roles("", *both)


# questions


def _asks(look: Look) -> bool:
    question, context, answers = look.a(_QUESTIONS), look.pair or look.a(_CONTEXTS), look.a(_ANSWERS)
    if question is None or context is None or answers is None:
        return False
    return look.text in (None, question.name) and look.label in (None, answers.name)


def _answers(look: Look) -> Roles:
    text = look.columns[look.text] if look.text else look.a(_QUESTIONS)
    label = look.columns[look.label] if look.label else look.a(_ANSWERS)
    rest = [column for column in look.texts if column is not text and column is not label]
    pair = look.pair or look.a(_CONTEXTS) or max(rest, key=lambda column: column.words, default=None)
    if text is None or label is None or pair is None:
        right = "right are columns named question, context and answers, as a file in SQuAD's format has them"
        raise HpoError(f"question-answering needs a question, a text and its answers, and {_seen(look)}; {right}")
    return Roles("", text, label, pair)


# classes and numbers


def _reading(look: Look, label: Column, text: Column | None = None) -> Roles:
    """What is read where something is said of a text, or of two."""
    texts = [column for column in look.texts if column is not label]
    if look.text is None and look.pair is None and (both := pairs.read_together(texts)):
        return Roles("", both[0], label, both[1])
    text = text or columns.text_of(look.columns, look.text, label.name)
    others = () if look.text or look.pair else tuple(columns.texts_like(text, look.columns, label.name))
    return Roles("", text, label, others=others)


def _classes(look: Look) -> Roles:
    read = columns.text_of(look.columns, look.text, look.label)
    return _reading(look, columns.label_of(_labels(look), look.label, read.name), read)


def _labels(look: Look) -> dict[str, Column]:
    """The columns among which the classes are looked for: those that the hub says hold some, else all."""
    known = {name: look.columns[name] for name in look.classes}
    return look.columns if look.label else known or look.columns


def _listed(look: Look) -> Column | None:
    """The column of lists of classes, where no column of classes has a better name."""
    found = [column for column in look.others if targets.are_lists(column)]
    return columns.best_named([*found, *look.may_be_classes], among=found)


def _several(look: Look) -> Roles:
    label = look.columns[look.label] if look.label else _listed(look) or _classes(look).label
    if label is None or not (targets.are_lists(label) or not label.refused):
        raise _no_label(look, "multi-label-classification predicts classes", "cells such as A|B, or JSON lists")
    return _reading(look, label)


def _quantity(look: Look, fits: Callable[[Column], bool]) -> Column | None:
    found = [column for column in look.others if fits(column) and (look.label or not targets.counts_rows(column))]
    best = columns.best_named(found, among=found)
    return best if best and (len(found) == 1 or columns.is_named_label(best.name)) else None


def _has_quantities(look: Look) -> bool:
    nothing_else = look.label is not None or not look.may_be_classes
    return look.read is not None and nothing_else and _quantity(look, targets.are_quantities) is not None


def _numbers(look: Look) -> Roles:
    label = _quantity(look, targets.are_quantities) or _quantity(look, targets.are_numbers)
    if label is None:
        raise _no_label(look, "text-regression predicts a number", "a column of numbers")
    return _reading(look, label)


# texts alone


def _two(look: Look) -> tuple[str, Column, Column, str] | None:
    """The task, what is read and what is written, and why; None where there are not two such texts."""
    texts = [column for column in look.columns.values() if columns.is_text(column) and columns.is_various(column)]
    if look.text or look.label:
        return _wanted_two(look, texts)
    if named := pairs.written_from(texts):
        return (*named, "")
    sentences = len(texts) == 2 and min(column.words for column in texts) > _NAMES
    return (*pairs.by_lengths(texts), "by the lengths of the two texts") if sentences else None


def _wanted_two(look: Look, texts: list[Column]) -> tuple[str, Column, Column, str] | None:
    text = look.columns[look.text] if look.text else next((one for one in texts if one.name != look.label), None)
    label = look.columns[look.label] if look.label else next((one for one in texts if one is not text), None)
    if text is None or label not in texts:
        return None
    task, first, *_ = pairs.written_from([text, label]) or pairs.by_lengths([text, label])
    return ("translation" if first is not text else task), text, label, ""


def _writes(kind: str) -> Callable[[Look], bool]:
    def fits(look: Look) -> bool:
        found = None if look.may_be_classes else _two(look)
        sure = look.label is not None or (found is not None and (not found[3] or not _spoilt(look, found[1:3])))
        return found is not None and found[0] == kind and sure

    return fits


def _spoilt(look: Look, taken: Iterable[Column]) -> bool:
    """Whether a name or another column says that there is something else to predict than texts."""
    names = [column.name for column in taken]
    rest = (column for name, column in look.columns.items() if name not in names)
    together = pairs.read_together([look.columns[name] for name in names])
    return together is not None or any(map(columns.is_named_label, names)) or not all(map(targets.says_nothing, rest))


def _written(look: Look) -> Roles:
    found = _two(look)
    if found is None:
        right = "name what is read with --text, and what is written with --label"
        raise HpoError(f"two columns of texts are needed, and {_seen(look)}; {right}")
    _, text, label, why = found
    return Roles("", text, label, why=why)


def _is_alone(look: Look) -> bool:
    if look.label is not None or look.read is None:
        return False
    rest = [column for column in look.columns.values() if column is not look.read]
    return not any(columns.is_named_label(column.name) for column in rest) and all(map(targets.says_nothing, rest))


def _alone(look: Look) -> Roles:
    if look.label is not None:
        raise HpoError(f"fill-mask predicts words of the text, no column; leave --label {look.label} out")
    return Roles("", columns.text_of(look.columns, look.text, None))


def _prompts(look: Look) -> Roles:
    """Texts to go on with, or instructions and their answers, which a column `label` holds in any case."""
    named = pairs.written_from(look.texts) if not (look.text or look.label) else None
    if named:
        return Roles("", *named[1:])
    label = look.columns.get(look.label or "label")
    text = columns.text_of(look.columns, look.text, None if label is None else label.name)
    return Roles("", text, None if label is text else label)


def _seen(look: Look) -> str:
    return f"there are {columns.described(look.columns)}"


def _no_label(look: Look, wants: str, right: str) -> HpoError:
    seen = f"column {look.label!r} holds {look.columns[look.label].described}" if look.label else _seen(look)
    return HpoError(f"{wants}, and {seen}; right is {right}: name it with --label")


ASKED: dict[str, Asked] = {
    "image-classification": Asked(_has_images, _images),
    "question-answering": Asked(_asks, _answers),
    "token-classification": Asked(_has_tags, _tags),
    "multi-label-classification": Asked(lambda look: look.read is not None and _listed(look) is not None, _several),
    "text-classification": Asked(lambda look: look.read is not None and bool(look.may_be_classes), _classes),
    "text-regression": Asked(_has_quantities, _numbers),
    "summarization": Asked(_writes("summarization"), _written),
    "translation": Asked(_writes("translation"), _written),
    "text-generation": Asked(_writes("text-generation"), _prompts),
    "fill-mask": Asked(_is_alone, _alone),
}
"""The kinds of tasks in the order in which rows are asked whether they are for them."""
