"""Tokens hidden from a model, which is to tell what they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Generator, Tensor

from objectives.batches import UNLABELLED


def own(tokens: Sequence[int]) -> Generator:
    """A generator that follows from a row's tokens."""
    return Generator().manual_seed(crc32(torch.tensor(tokens).numpy().tobytes()))


def anew(rows: int) -> list[Generator]:
    """One for each row by torch's own, which gives rows the same whether they come at once or in parts."""
    return [Generator().manual_seed(seed) for seed in torch.randint(2**32, (rows,)).tolist()]


def masked(tokens: Tensor, counts: Tensor, tokenizer: Any, generators: Iterable[Generator]) -> tuple[Tensor, Tensor]:
    """The tokens [rows, longest] with `counts` [rows] of them hidden, and what these were, as BERT was made.

    Of those hidden 80 % are masked, 10 % another token, 10 % as they are (arXiv 1810.04805). A row is hidden as its
    generator has it, however far it is padded.
    """
    draws = torch.stack([torch.rand(tokens.shape[1], 3, generator=draw) for draw in generators])
    chance, lot, other = draws.unbind(dim=2)
    chance = chance.masked_fill(torch.isin(tokens, torch.tensor(tokenizer.all_special_ids)), -1.0)
    told = chance.argsort(dim=1, descending=True).argsort(dim=1) < counts.unsqueeze(1)
    labels = tokens.where(told, torch.tensor(UNLABELLED))
    others = (other * len(tokenizer)).long()
    hidden = torch.where(lot < 0.8, torch.tensor(tokenizer.mask_token_id), torch.where(lot < 0.9, others, tokens))
    return tokens.where(~told, hidden), labels
