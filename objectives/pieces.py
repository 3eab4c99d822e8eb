"""The pieces of words, as a tokenizer cuts them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

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
    blank = _before_words(tokenizer)
    for some in chunks(range(len(rows)), ROWS):
        reader.heed()
        words = [[f"{'' if _is_number(word) else blank}{word}" for word in rows[row]] for row in some]
        found = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
        for place, tokens in enumerate(found["input_ids"]):
            of = found.word_ids(place)
            yield tokens, [word if word != before else None for before, word in zip([None, *of], of, strict=False)]


def _before_words(tokenizer: Any) -> str:
    """What to put before each word, so that a tokenizer of bytes reads it as after a blank, as it stands in a text.

    RoBERTa's does so by itself, once it is told. One that cuts texts before, as Qwen2's and Llama 3's, would put a
    blank before each part.
    """
    before = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(before, ByteLevel):
        before.add_prefix_space = True
    if not isinstance(before, PreTokenizers):
        return ""
    last = json.loads(before.__getstate__())["pretokenizers"][-1]
    return " " if last["type"] == "ByteLevel" and not last["add_prefix_space"] else ""


def _is_number(word: str) -> bool:
    """Whether it begins with one: these tokenizers leave the blank before it alone, which then stood for the word."""
    return unicodedata.category(word[:1] or " ").startswith("N")
