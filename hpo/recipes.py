"""What a first study of each kind of task has of its own: a model, a metric, what is searched, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hpo import pairs
from hpo.columns import Column
from hpo.guesses import Guess, Rows, most_tokens
from objectives.entities import types
from objectives.labels import classes_of
from objectives.words import words_of

_HUB = "needs a download from the hub"
_LONGEST = 512


@dataclass(frozen=True)
class Start:
    """The model that is trained, why, how many blocks it can freeze, and the learning rates that suit it."""

    name: str
    why: str
    blocks: int
    rates: tuple[float, float]


def _encoder(small: tuple[float, float], large: tuple[float, float]) -> Callable[[Rows], Start]:
    """A model for the script of the texts, and learning rates for one of 6 blocks and for those of 12."""

    def start(rows: Rows) -> Start:
        han, other = rows.scripts
        if other > 0.2:
            return Start("xlm-roberta-base", f"{other:.0%} of the letters are not Latin; {_HUB}", 12, large)
        if han > 0.2:
            return Start("bert-base-chinese", f"{han:.0%} of the letters are Chinese; {_HUB}", 12, large)
        return Start("minilm", "small, English; or a hub id such as distilbert-base-uncased", 6, small)

    return start


def _of_images(_rows: Rows) -> Start:
    why = f"no model of images comes along, this one {_HUB}; or google/vit-base-patch16-224, of 12 blocks"
    return Start("microsoft/resnet-18", why, 4, (1e-5, 3e-3))


def _of_two_sides(_rows: Rows) -> Start:
    knows = "small; knows English, French, German and Romanian"
    return Start("google-t5/t5-small", f"{knows}, others need another; {_HUB}", 6, (1e-5, 1e-3))


def _decoder(_rows: Rows) -> Start:
    why = f"small, English; {_HUB}; for other languages a hub id such as Qwen/Qwen2-0.5B"
    return Start("openai-community/gpt2", why, 12, (1e-5, 5e-4))


def _classes(rows: Rows, label: Column) -> str:
    return f"{len(label.counts)} classes: {_shares(label)}"


def _shares(label: Column) -> str:
    most = label.counts.most_common(5)
    shown = ", ".join(f"{' '.join(name.split())[:30]} {count / len(label.filled):.0%}" for name, count in most)
    return shown + ", ..." * (len(label.counts) > len(most))


def _lists(_rows: Rows, label: Column) -> str:
    given = [classes_of(cell) for cell in label.values]
    names = {name for row in given for name in row}
    return f"{len(names)} classes, {sum(map(len, given)) / len(given):.1f} a row"


def _tags(_rows: Rows, label: Column) -> str:
    found = _all_tags(label)
    names = types(found)
    shown = ", ".join((names or sorted(found))[:5]) + ", ..." * (len(names or found) > 5)
    return f"{len(names)} types of entities: {shown}" if names else f"{len(found)} tags: {shown}"


def _all_tags(label: Column) -> set[str]:
    return {tag for cell in label.values for tag in words_of(cell)}


def _answers(rows: Rows, label: Column) -> str:
    without = len(label.values) - len(label.filled)
    return f"where the answers stand; {without} of {len(label.values)} questions have none"


def _texts(_rows: Rows, label: Column) -> str:
    return label.described


Judged = tuple[str, str]
"""A metric, and why it."""


def _of_classes(rows: Rows) -> Judged:
    if rows.imbalance >= 3:
        return "f1_macro", "the classes differ in size, and all count the same"
    return "val_loss", "the classes are of similar size; else f1_macro"


def _of_entities(rows: Rows) -> Judged:
    label = rows.roles.label
    if label is not None and types(_all_tags(label)):
        return "f1", "whole entities, right where words and type are"
    return "f1_macro", "the tags name no entities, and all count the same; else accuracy"


def _of_summaries(rows: Rows) -> Judged:
    if max(rows.scripts) > 0.2:
        return "chrf", "of letters: ROUGE knows words of Latin letters alone; else val_loss, which is faster"
    return "rougeL", "what is written is scored; else val_loss, which is faster"


def _always(metric: str, why: str) -> Callable[[Rows], Judged]:
    return lambda _: (metric, why)


def _none(_rows: Rows) -> Iterator[Guess]:
    return iter(())


def _augmented(_rows: Rows) -> Iterator[Guess]:
    why = "flip only where left and right mean the same: not of letters"
    yield Guess(("search", "training.augmentation"), ["none", "crop", "flip"], why)


def _translated(rows: Rows) -> Iterator[Guess]:
    spoken = [pairs.language(column.name) for column in (rows.roles.text, rows.roles.label) if column is not None]
    if all(spoken) and len(spoken) == 2:
        yield Guess(("prefix",), f"translate {spoken[0]} to {spoken[1]}: ", "T5 wants to be told; other models do not")
    else:
        why = "T5 wants to be told; mend the languages and turn it on"
        yield Guess(("prefix",), "translate English to French: ", why, off=True)
    yield from _target_length(rows)


def _summarized(rows: Rows) -> Iterator[Guess]:
    yield Guess(("prefix",), "summarize: ", "T5 wants to be told; other models do not")
    yield from _target_length(rows)


def _target_length(rows: Rows) -> Iterator[Guess]:
    if rows.roles.label is not None:
        rounded, most, how = most_tokens(rows.roles.label.filled, _of_two_sides(rows).name, _LONGEST)
        yield Guess(("max_target_length",), rounded, f"95 % of what is to be written has at most {most} {how}")


def _packed(rows: Rows) -> Iterator[Guess]:
    if rows.roles.label is None:
        yield Guess(("packing",), True, "one text after the other: nothing is padded")


_OF_TEXTS = _encoder((1e-5, 1e-3), (1e-5, 1e-4))
_OF_TOKENS = _encoder((5e-5, 2e-3), (1e-5, 1e-4))


@dataclass(frozen=True)
class Recipe:
    """What a kind of task has of its own.

    `why` says what it predicts, `label` what the column to predict holds; `own` are settings of the task, `search` what
    is searched beside learning rate, batch size, warm-up and frozen blocks; `longest` is the most tokens of a row.
    `instead` is a kind that the same rows may be meant for, and how.
    """

    why: str
    metric: Callable[[Rows], Judged]
    start: Callable[[Rows], Start] = _OF_TEXTS
    label: Callable[[Rows, Column], str] = _texts
    own: Callable[[Rows], Iterator[Guess]] = _none
    search: Callable[[Rows], Iterator[Guess]] = _none
    longest: int = _LONGEST
    instead: tuple[str, str] | None = None


_CHANCES = "tells chances, too; else f1_micro, which needs some above a half"
_WRITTEN = "what is written is scored; else val_loss, which is faster"

RECIPES = {
    "text-classification": Recipe("one class for each text", _of_classes, label=_classes),
    "multi-label-classification": Recipe(
        "any number of classes for each text", _always("val_loss", _CHANCES), label=_lists
    ),
    "text-regression": Recipe(
        "a number for each text", _always("val_loss", "the mean square error; else spearman, where the order counts")
    ),
    "token-classification": Recipe("a tag for each word", _of_entities, _OF_TOKENS, _tags),
    "question-answering": Recipe(
        "the part of a text that answers a question",
        _always("f1", "words shared with the right answer; else exact_match"),
        _OF_TOKENS,
        _answers,
        longest=384,
    ),
    "translation": Recipe("one text from another", _always("chrf", _WRITTEN), _of_two_sides, own=_translated),
    "summarization": Recipe("a short text from a long one", _of_summaries, _of_two_sides, own=_summarized),
    "text-generation": Recipe(
        "each next token", _always("perplexity", "e to the mean loss of a token"), _decoder, own=_packed
    ),
    "fill-mask": Recipe(
        "masked words: more pretraining, before anything is labelled",
        _always("perplexity", "e to the mean loss of a masked token"),
        _encoder((1e-4, 3e-3), (1e-5, 2e-4)),
        instead=("text-generation", "to write texts on instead, by a decoder: hpo init with --task text-generation"),
    ),
    "image-classification": Recipe(
        "one class for each image; reading them takes the extra image",
        _of_classes,
        _of_images,
        _classes,
        search=_augmented,
    ),
}
"""By kind of task; objectives/kinds.py says what each reads and predicts."""
