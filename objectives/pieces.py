"""The pieces of words, as a tokenizer cuts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from objectives.batches import chunks
from objectives.errors import ModelError
from objectives.tokenized import Reader

ROWS = 1000
"""Tokenized between two looks at what may end the trial."""


def pieces(
    rows: Sequence[Sequence[str]], reader: Reader, max_length: int
) -> Iterator[tuple[list[int], list[int | None]]]:
    """The tokens of each row of words, cut at a length, and for each token the word that it begins, else None.

    Raises ModelError where the tokenizer cannot tell.
    """
    tokenizer = reader.tokenizer
    if not tokenizer.is_fast:
        raise ModelError("model.name: has no fast tokenizer, which tells the pieces of a word; take another model")
    _with_blanks(tokenizer)
    for some in chunks(range(len(rows)), ROWS):
        reader.heed()
        found = tokenizer(
            [[*rows[row]] for row in some], is_split_into_words=True, truncation=True, max_length=max_length
        )
        for place, tokens in enumerate(found["input_ids"]):
            words = found.word_ids(place)
            yield (
                tokens,
                [word if word != before else None for before, word in zip([None, *words], words, strict=False)],
            )


def _with_blanks(tokenizer: Any) -> None:
    """Let a tokenizer of bytes, as RoBERTa's, read each word as after a blank, as it stands in a text."""
    before = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(before, ByteLevel):
        before.add_prefix_space = True
