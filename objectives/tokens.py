"""Tokens of texts by the `tokenizers` library, without torch and transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from objectives import hub
from objectives.sources import Source

_FILE, _NAMES = "tokenizer.json", "tokenizer_config.json"


class Counts(NamedTuple):
    """Tokens of each text, and how many of all are unknown to the vocabulary."""

    lengths: list[int]
    unknown: int


Texts = Sequence[str] | Sequence[tuple[str, str]]
"""Texts, or pairs of them."""


def count(source: Source, texts: Texts, *, special: bool = True, ended: bool = False) -> Counts | None:
    """The tokens of the texts for a model whose `tokenizer.json` is on this machine; None for any other.

    Those that stand around every text are counted unless not `special`; where texts are `ended`, the one that ends a
    text is, too, behind each that has it not already.
    """
    tokenizer = _tokenizer(source)
    if tokenizer is None:
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unknown = next((tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>") if tokenizer.token_to_id(name)), None)
    rows = [row.ids for row in tokenizer.encode_batch(list(texts), add_special_tokens=special)]
    end = tokenizer.token_to_id(_end(source)) if ended else None
    lengths = [len(row) + (end is not None and row[-1:] != [end]) for row in rows]
    return Counts(lengths, sum(row.count(unknown) for row in rows) if unknown is not None else 0)


def vocabulary(source: Source) -> dict[str, int] | None:
    """The number of each token of such a model."""
    tokenizer = _tokenizer(source)
    return None if tokenizer is None else dict(tokenizer.get_vocab())


def _end(source: Source) -> str:
    """The token that ends a text; nothing where none is said to."""
    path = _path(source, _NAMES)
    found = json.loads(path.read_bytes()).get("eos_token") if path else None
    return str(found.get("content") if isinstance(found, dict) else found or "")


def _path(source: Source, name: str) -> Path | None:
    path = Path(source.where) / name if source.is_folder else hub.cached(source, name)
    return path if path is not None and path.is_file() else None


def _tokenizer(source: Source) -> Any:
    path = _path(source, _FILE)
    if path is None:
        return None
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))
