"""Attention as transformers computes it, in fp32 where a CPU is slow to learn it in bf16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward


def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **how: Any) -> Tensor:
    """From [rows, heads, tokens, size] each to [rows, tokens, heads, size].

    `mask` and `how` are those of transformers' interface. Without dropout the backward pass takes a CPU several times
    as long in bf16 as in fp32 (torch 2.13), and so it has fp32.
    """
    if query.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not _learns(query) or how.get("dropout"):
        found, _ = sdpa_attention_forward(module, query, key, value, mask, **how)
        return found
    mask = mask if mask is None or mask.dtype == torch.bool else mask.float()
    with torch.autocast("cpu", enabled=False):
        found, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **how)
    return found.to(value.dtype)


def _learns(query: Tensor) -> bool:
    return torch.is_grad_enabled() and query.requires_grad
