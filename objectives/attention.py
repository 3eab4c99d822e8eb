"""Attention as transformers computes it, in fp32 where a CPU is slow to learn it in bf16."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
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


def in_fp32(model: Any) -> None:
    """Let the parts that fail under autocast be computed outside of it: DeBERTa's attention masks by the least number
    of fp32, which bf16 and fp16 cannot hold (transformers 5.23)."""
    if model.config.model_type == "deberta":
        for part in model.modules():
            if type(part).__name__ == "DisentangledSelfAttention":
                held: list[AbstractContextManager[Any]] = []
                part.register_forward_pre_hook(partial(_enter, held), with_kwargs=True)
                part.register_forward_hook(partial(_leave, held), always_call=True)


def _enter(held: list[AbstractContextManager[Any]], _part: nn.Module, args: Any, named: dict[str, Any]) -> Any:
    held.append(torch.autocast(args[0].device.type, enabled=False))
    held[-1].__enter__()
    return tuple(map(_whole, args)), {name: _whole(value) for name, value in named.items()}


def _leave(held: list[AbstractContextManager[Any]], *_: Any) -> None:
    if held:  # unless what came before has failed
        held.pop().__exit__(None, None, None)


def _whole(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _learns(query: Tensor) -> bool:
    return torch.is_grad_enabled() and query.requires_grad
