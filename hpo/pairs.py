"""Which two texts of a row belong together, by their names, and what a task makes of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from hpo.columns import Column

_READ_TOGETHER = (
    "premise hypothesis, query passage, query document, question passage, question document, claim evidence, "
    "question sentence, 前提 假设"
)
_FIRST, _SECOND = re.compile(r"(.*[^\W\d])[ _-]?1|(.+[ _-])a|(text|sentence)a"), {"1": "2", "a": "b"}

_WRITTEN = {
    "summarization": (
        "summary abstract highlights tldr tl;dr 摘要",
        "text article document dialogue body content notes 文本 正文 文章",
    ),
    "translation": ("target tgt translation 译文", "source src original 原文"),
    "text-generation": (
        "answer response output completion reply 回答 答案 回复",
        "question prompt instruction input query text 问题 指令",
    ),
}
"""For each task that writes: names of what is written, and of what it is written from."""

LANGUAGES = {
    "English": "en eng english 英文 英语",
    "French": "fr fra fre french francais français",
    "German": "de deu ger german deutsch",
    "Romanian": "ro ron rum romanian",
    "Spanish": "es spa spanish español",
    "Italian": "it ita italian italiano",
    "Portuguese": "pt por portuguese",
    "Dutch": "nl nld dutch",
    "Russian": "ru rus russian",
    "Polish": "pl pol polish",
    "Turkish": "tr tur turkish",
    "Arabic": "ar ara arabic",
    "Chinese": "zh zho chi chinese 中文 汉语",
    "Japanese": "ja jpn japanese 日文 日语",
    "Korean": "ko kor korean",
}
"""Names that columns of a language have."""


def read_together(texts: Sequence[Column]) -> tuple[Column, Column] | None:
    """Two columns whose names say that they are read as one text, such as sentence1 and sentence2."""
    by_name = {column.name.lower(): column for column in texts}
    for first, second in _names(by_name):
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    return None


def written_from(texts: Sequence[Column]) -> tuple[str, Column, Column] | None:
    """The task that one text is written from another in, what is read, and what is written, by their names."""
    for task, (written, read) in _WRITTEN.items():
        label, text = _one(texts, written), _one(texts, read)
        if label and text and label is not text:
            return _of_lengths(task, text, label), text, label
    spoken = [column for column in texts if language(column.name)]
    return ("translation", spoken[0], spoken[1]) if len(spoken) == 2 else None


def is_written(name: str) -> bool:
    """Whether a column's name says that it is written from another."""
    return any(name.lower() in written.split() for written, _ in _WRITTEN.values())


def by_lengths(texts: Sequence[Column]) -> tuple[str, Column, Column]:
    """The same for two columns by how long their texts are: a far shorter one is a summary."""
    first, second = texts
    if max(first.words, second.words) < 3 * min(first.words, second.words):
        return "translation", first, second
    return ("summarization", first, second) if first.words > second.words else ("summarization", second, first)


def language(name: str) -> str | None:
    """The language that a column is named by."""
    return next((spoken for spoken, names in LANGUAGES.items() if name.lower() in names.split()), None)


def _of_lengths(task: str, text: Column, label: Column) -> str:
    """What `source` and `target` stand for, which are a translation's names and a summary's."""
    return "summarization" if task == "translation" and text.words >= 3 * label.words else task


def _one(texts: Sequence[Column], names: str) -> Column | None:
    return next((column for name in names.split() for column in texts if column.name.lower() == name), None)


def _names(known: Collection[str]) -> Iterator[tuple[str, str]]:
    for pair in _READ_TOGETHER.split(", "):
        first, second = pair.split()
        yield first, second
    for name in known:
        if _FIRST.fullmatch(name):
            yield name, f"{name[:-1]}{_SECOND[name[-1]]}"
