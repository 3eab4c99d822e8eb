"""Tokens of texts by the `tokenizers` library, without torch and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from objectives import hub
from objectives.sources import Source

_FILE = "tokenizer.json"


class Counts(NamedTuple):
    """Tokens of each text, special ones included, and how many of all are unknown to the vocabulary."""

    lengths: list[int]
    unknown: int


def count(source: Source, texts: Sequence[str]) -> Counts | None:
    """The tokens of the texts for a model whose `tokenizer.json` is on this machine; None for any other."""
    tokenizer = _tokenizer(source)
    if tokenizer is None:
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unknown = next((tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>") if tokenizer.token_to_id(name)), None)
    rows = [row.ids for row in tokenizer.encode_batch(list(texts))]
    return Counts([len(row) for row in rows], sum(row.count(unknown) for row in rows) if unknown is not None else 0)


def vocabulary(source: Source) -> dict[str, int] | None:
    """The number of each token of such a model."""
    tokenizer = _tokenizer(source)
    return None if tokenizer is None else dict(tokenizer.get_vocab())


def _tokenizer(source: Source) -> Any:
    path = Path(source.where) / _FILE if source.is_folder else hub.cached(source, _FILE)
    if path is None or not path.is_file():
        return None
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))
