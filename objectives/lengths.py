"""How many tokens a model reads of each row, and is to write; no torch."""

from __future__ import annotations

from objectives import kinds, tokens
from objectives.data import Table
from objectives.prompts import prompted
from objectives.settings import Transfer
from objectives.sources import Source
from objectives.tokens import Counts


def read(settings: Transfer, table: Table, source: Source) -> Counts | None:
    """Of each row as it is read: in its prompt, behind its prefix, with a second text, and before a decoder's answer.

    None where the model's tokenizer is not on this machine.
    """
    task = settings.task
    put, data = prompted(task.prompt, settings.data)
    filled = put(table)
    if task.kind == "text-generation" and data.label in table.columns:
        return _answered(filled, settings, source)
    texts = [(task.prefix or "") + text for text in filled.column(data.text)]
    both = texts if data.pair is None else list(zip(texts, filled.column(data.pair), strict=True))
    return tokens.count(source, both, ended=task.kind == "text-generation")


def written(settings: Transfer, table: Table, source: Source) -> Counts | None:
    """Of each text that an encoder-decoder is to write; None where the kind of task has none, or for want of a
    tokenizer."""
    if not kinds.written_tokens(settings.task):
        return None
    return tokens.count(source, table.column(settings.data.label))


def _answered(table: Table, settings: Transfer, source: Source) -> Counts | None:
    """The answer stands on the line below the text, and is ended."""
    asked = tokens.count(source, [text + "\n" for text in table.column(settings.data.text)])
    said = tokens.count(source, table.column(settings.data.label), special=False, ended=True)
    if asked is None or said is None:
        return None
    both = [sum(row) for row in zip(asked.lengths, said.lengths, strict=True)]
    return Counts(both, asked.unknown + said.unknown)
