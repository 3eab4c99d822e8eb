"""Tokens hidden from a model, which is to tell what they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from objectives.batches import UNLABELLED


def own(tokens: Sequence[int]) -> torch.Generator:
    """A generator that follows from a row's tokens."""
    return torch.Generator().manual_seed(crc32(torch.tensor(tokens).numpy().tobytes()))


def masked(tokens: Tensor, counts: Tensor, tokenizer: Any, draw: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """The tokens [rows, longest] with `counts` [rows] of them hidden, and what these were, as BERT was made.

    Of those hidden 80 % are masked, 10 % another token, 10 % as they are (arXiv 1810.04805).
    """
    chance = torch.rand(tokens.shape, generator=draw)
    chance[torch.isin(tokens, torch.tensor(tokenizer.all_special_ids))] = -1.0
    told = chance.argsort(dim=1, descending=True).argsort(dim=1) < counts.unsqueeze(1)
    labels = tokens.where(told, torch.tensor(UNLABELLED))
    lot = torch.rand(tokens.shape, generator=draw)
    others = torch.randint(len(tokenizer), tokens.shape, generator=draw)
    hidden = torch.where(lot < 0.8, torch.tensor(tokenizer.mask_token_id), torch.where(lot < 0.9, others, tokens))
    return tokens.where(~told, hidden), labels
