"""Attention of one token a row to the states themselves: neither keys nor values are made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def look(parts: Any, size: int, first: Tensor, hidden: Tensor, mask: Tensor | None, dropout: Any) -> Tensor:
    """What each row's `first` token [rows, 1, width] takes from all of its states [rows, tokens, width], as [rows, 1,
    heads * size].

    What a query q scores a key W h is what W'q scores h, and a mean of values W h is W times the mean of h: a row asks
    once a head, while keys and values would be made of all its tokens. `parts` are the layers that make queries, keys
    and values; `mask` [rows, 1, 1, tokens] is true for what may be seen, or added to the scores. In fp32 always.
    """
    query, key, value = parts
    asked = query(first).view(len(hidden), -1, size).transpose(0, 1)  # [heads, rows, size]
    with torch.autocast(hidden.device.type, enabled=False):
        asked, hidden = asked.float(), hidden.float()
        weights = dropout(_scores(asked, key, hidden, mask).softmax(-1))
        taken = torch.bmm(weights, hidden).transpose(0, 1)
        found = torch.bmm(taken, _by_head(value.weight, size).transpose(1, 2))
        if value.bias is not None:  # weights that dropout took a part of do not add up to 1
            found = found + weights.sum(-1).t().unsqueeze(-1) * _by_head(value.bias, size)
    return found.transpose(0, 1).reshape(len(hidden), 1, -1)


def _scores(asked: Tensor, key: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """From [heads, rows, size] and [rows, tokens, width] to [rows, heads, tokens]."""
    size = asked.shape[-1]
    asked = asked * size**-0.5
    scores = torch.bmm(torch.bmm(asked, _by_head(key.weight, size)).transpose(0, 1), hidden.transpose(1, 2))
    if key.bias is not None:
        scores = scores + (asked * _by_head(key.bias, size)).sum(-1).t().unsqueeze(-1)
    if mask is None:
        return scores
    seen = mask[:, 0, :1]
    return scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen


def _by_head(weights: Tensor, size: int) -> Tensor:
    """From [heads * size, width] to [heads, size, width], and from [heads * size] to [heads, 1, size]."""
    return weights.view(-1, 1, size) if weights.dim() == 1 else weights.view(-1, size, weights.shape[1])
