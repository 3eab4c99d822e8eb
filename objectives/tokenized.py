"""Tokens of many texts, computed once: kept in the cache, and mapped by all who read them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
import xxhash
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from objectives.cache import Cache
from objectives.evaluation import Heed, unheeded

Rows = Sequence[Sequence[int]]
log = logging.getLogger(__name__)
WORTH = 1_000_000
"""Characters from which on it pays to keep their tokens: they take a CPU about half a second."""
WAIT = 60.0
"""Seconds to wait at most for another who computes the same."""
FORMAT = "tokens 2"


@dataclass(frozen=True)
class Read:
    """The tokens of each text, or of each pair, and which of a pair's are the second's: None where no model asks."""

    tokens: Rows
    types: Sequence[Sequence[int] | None]


@dataclass(frozen=True)
class Reader:
    """Reads texts by a fast tokenizer of transformers, after a look into the cache where there is one.

    `heed` is called meanwhile, and may raise.
    """

    tokenizer: Any
    cache: Cache | None = None
    heed: Heed = unheeded

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int) -> Read:
        """The tokens of each text, with the text beside it where there are `pairs`, cut to a length, not padded."""
        if not self._is_kept([*texts, *(pairs or ())]):
            return self._computed(texts, pairs, max_length)
        assert self.cache is not None  # noqa: S101 - it keeps them
        name = self._name(texts, pairs, max_length)
        try:
            return self._kept(self.cache, name, texts, pairs, max_length)
        except OSError as error:
            log.warning("tokens are computed, the cache is of no use: %s", error)
            return self._computed(texts, pairs, max_length)

    def _is_kept(self, texts: Sequence[str]) -> bool:
        kept = self.cache is not None and self.cache.limit != 0 and self.tokenizer.is_fast
        return bool(kept and sum(map(len, texts)) >= WORTH)

    def _kept(
        self, cache: Cache, name: str, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
    ) -> Read:
        with replace(cache, patience=WAIT).building(name, self.heed):
            found = cache.find(name, self.heed)
            if found is not None:
                return _read(found)
            computed = self._computed(texts, pairs, max_length)
            file = save(_tensors(computed))
            if len(file) <= cache.room():
                with cache.write(name, len(file)) as stream:
                    stream.write(file)
            return computed

    def _computed(self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> Read:
        typed = pairs is not None and "token_type_ids" in self.tokenizer.model_input_names
        found = self.tokenizer(
            [*texts],
            None if pairs is None else [*pairs],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=typed,
        )
        return Read(found["input_ids"], found["token_type_ids"] if typed else [None] * len(texts))

    def _name(self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> str:
        """A digest of all that the tokens depend on: the texts, the whole tokenizer, how it cuts, and the versions."""
        tokenizer, inner = self.tokenizer, self.tokenizer.backend_tokenizer
        inner.no_truncation()  # what a call before this one has left; each call sets its own
        inner.no_padding()
        how = (
            max_length,
            pairs is not None,
            tokenizer.truncation_side,
            getattr(tokenizer, "split_special_tokens", False),
        )
        versions = (transformers.__version__, tokenizers.__version__)
        digest = xxhash.xxh3_128(f"{FORMAT} {type(tokenizer).__name__} {how} {versions} {inner.to_str()}".encode())
        for text in chain(texts, pairs or ()):
            digest.update(f"{len(text)} {text}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _tensors(read: Read) -> dict[str, Tensor]:
    types = [row for row in read.types if row is not None]
    return {
        "tokens": torch.tensor(list(chain.from_iterable(read.tokens)), dtype=torch.int32),
        "lengths": torch.tensor([len(row) for row in read.tokens], dtype=torch.int32),
        **({"types": torch.tensor(list(chain.from_iterable(types)), dtype=torch.int32)} if types else {}),
    }


def _read(path: Path) -> Read:
    """Views of the mapped file, which read as whole numbers."""
    with safe_open(path, "pt") as file:
        ends = list(pairwise(accumulate(file.get_tensor("lengths").tolist(), initial=0)))
        found = {name: memoryview(file.get_tensor(name).numpy()) for name in file.keys() if name != "lengths"}  # noqa: SIM118
    rows = {name: [numbers[start:end] for start, end in ends] for name, numbers in found.items()}
    return Read(rows["tokens"], rows.get("types", [None] * len(ends)))
