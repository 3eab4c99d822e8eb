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
FORMAT = "tokens 1"


@dataclass(frozen=True)
class Remembered:
    """A fast tokenizer of transformers that looks into the cache before it computes; `heed` is called meanwhile, and
    may raise."""

    tokenizer: Any
    cache: Cache
    heed: Heed = unheeded

    def __call__(self, texts: Sequence[str], *, truncation: bool, max_length: int) -> dict[str, Rows]:
        """The `input_ids` of each text, not padded: those that the tokenizer gives."""
        if sum(map(len, texts)) < WORTH or not self.tokenizer.is_fast or self.cache.limit == 0:
            return {"input_ids": self._computed(texts, truncation, max_length)}
        name = self._name(texts, truncation, max_length)
        try:
            return {"input_ids": self._kept(name, texts, truncation, max_length)}
        except OSError as error:
            log.warning("tokens are computed, the cache is of no use: %s", error)
            return {"input_ids": self._computed(texts, truncation, max_length)}

    def _kept(self, name: str, texts: Sequence[str], truncation: bool, max_length: int) -> Rows:
        with replace(self.cache, patience=WAIT).building(name, self.heed):
            found = self.cache.find(name, self.heed)
            if found is not None:
                return _read(found)
            computed = self._computed(texts, truncation, max_length)
            file = save(_tensors(computed))
            if len(file) <= self.cache.room():
                with self.cache.write(name, len(file)) as stream:
                    stream.write(file)
            return computed

    def _computed(self, texts: Sequence[str], truncation: bool, max_length: int) -> Rows:
        found: Rows = self.tokenizer(texts, truncation=truncation, max_length=max_length, return_attention_mask=False)[
            "input_ids"
        ]
        return found

    def _name(self, texts: Sequence[str], truncation: bool, max_length: int) -> str:
        """A digest of all that the tokens depend on: the texts, the whole tokenizer, how it cuts, and the versions."""
        tokenizer, inner = self.tokenizer, self.tokenizer.backend_tokenizer
        inner.no_truncation()  # what a call before this one has left; each call sets its own
        inner.no_padding()
        how = (truncation, max_length, tokenizer.truncation_side, getattr(tokenizer, "split_special_tokens", False))
        versions = (transformers.__version__, tokenizers.__version__)
        digest = xxhash.xxh3_128(f"{FORMAT} {type(tokenizer).__name__} {how} {versions} {inner.to_str()}".encode())
        for text in texts:
            digest.update(f"{len(text)} {text}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _tensors(rows: Rows) -> dict[str, Tensor]:
    return {
        "tokens": torch.tensor(list(chain.from_iterable(rows)), dtype=torch.int32),
        "lengths": torch.tensor([len(row) for row in rows], dtype=torch.int32),
    }


def _read(path: Path) -> list[Sequence[int]]:
    """Views of the mapped file, which read as whole numbers."""
    with safe_open(path, "pt") as file:
        tokens, lengths = memoryview(file.get_tensor("tokens").numpy()), file.get_tensor("lengths").tolist()
    return [tokens[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]
