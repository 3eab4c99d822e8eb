"""Sentences of a CoNLL file: a word and its tag a line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

_DOCUMENT = "-DOCSTART-"
_COMMENT = re.compile(r"#[ \t]*(id\b|newdoc\b|newpar\b|[\w.:]+[ \t]*=)")
"""What stands above sentences in files of CoNLL-U and MultiCoNER; a sentence may begin with the word # all the same."""


class ConllError(Exception):
    """A line that cannot be read; one line says why."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Sentence(NamedTuple):
    """Its words, a tag for each, and the line at which it starts, from 1."""

    words: list[str]
    tags: list[str]
    line: int


def sentences(text: str) -> Iterator[Sentence]:
    """All sentences, in order; of each line the first field is the word and the last its tag.

    Fields stand between tabs or blanks. Lines of -DOCSTART- and comments above a sentence are passed over. Raises
    ConllError.
    """
    lines = _uncommented(enumerate(text.split("\n"), start=1))  # not splitlines: U+2028 may stand in a word
    fields = ((number, [field for field in re.split(r"[ \t\r]+", line) if field]) for number, line in lines)
    for is_sentence, group in groupby(fields, key=lambda found: bool(found[1]) and found[1][0] != _DOCUMENT):
        if is_sentence:
            yield _sentence(list(group))


def _uncommented(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    above = True
    for number, line in lines:
        if above and _COMMENT.match(line):
            continue
        above = not line.strip()
        yield number, line


def _sentence(lines: list[tuple[int, list[str]]]) -> Sentence:
    for number, fields in lines:
        if len(fields) < 2:
            raise ConllError(f"{fields[0]!r} has no tag beside it; right is a line such as 'Oslo B-LOC'", number)
    words, tags = ([fields[place] for _, fields in lines] for place in (0, -1))
    return Sentence(words, tags, lines[0][0])
