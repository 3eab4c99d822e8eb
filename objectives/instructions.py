"""Rows for a decoder: texts, and instructions with their answers."""

from __future__ import annotations

from objectives.batches import UNLABELLED, Example
from objectives.data import Table
from objectives.settings import Data
from objectives.tokenized import Reader


def ended(tokens: list[int], end: int | None) -> list[int]:
    """The tokens with the one that ends a text behind them, where there is one."""
    return tokens if end is None or tokens[-1:] == [end] else [*tokens, end]


def answered(table: Table, reader: Reader, data: Data) -> list[Example]:
    """What asks and what answers; where both are too long, the end of the question is cut off first."""
    asked = reader([text + "\n" for text in table.column(data.text)], max_length=data.max_length)
    said = reader.tokenizer([*table.column(data.label)], add_special_tokens=False)["input_ids"]
    rows = []
    for question, tokens in zip(asked.tokens, said, strict=True):
        answer = ended(tokens, reader.tokenizer.eos_token_id)
        kept = list(question)[: max(1, data.max_length - len(answer))]
        rows.append(example([*kept, *answer][: data.max_length], len(kept)))
    return rows


def example(tokens: list[int], known: int) -> Example:
    """A row whose first tokens are not to be learned."""
    return Example(tokens, [*[UNLABELLED] * known, *tokens[known:]], len(tokens) - known)
