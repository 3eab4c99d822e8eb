"""Work that no result needs, left out: layers on padding, last-block tokens that no head reads.

Each piece is transformers' own computation on fewer rows of its matrices, or in the numbers that are quicker; what it
cannot be sure of stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from objectives.cutting import pooled_alike
from objectives.devices import Machine
from objectives.layers import FAMILIES, prefix

_LIKE_BERT = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
_RAGGED = "hpo_ragged"


def lighten(model: Any, pooling: str, machine: Machine) -> list[str]:
    """Leave out of a model's training what its head does not need; the names of the pieces that apply to it.

    Losses and metrics agree with the plain model's, but for the last digits and for what dropout draws.
    """
    if model.config.model_type not in FAMILIES or model.config._attn_implementation != "sdpa":
        return []
    return [name for name, piece in _PIECES.items() if piece(model, pooling, machine)]


def _without_padding(model: Any, _pooling: str, machine: Machine) -> bool:
    """Linear layers, norms and dropout see tokens alone, one after the other; only attention pads them."""
    running = _running(model)
    # A GPU would have to wait in each step for how many tokens there are.
    known = model.config.model_type in (*_LIKE_BERT, "distilbert")
    if not known or len(running) < 2 or machine.device.type != "cpu":
        return False
    ragged = _Ragged()
    model.register_forward_pre_hook(ragged.begin, with_kwargs=True)
    running[0].register_forward_pre_hook(ragged.pack)
    running[-1].register_forward_pre_hook(ragged.unpack)
    for block in running[:-1]:
        block.attention.ragged = ragged
        getattr(block.attention, "self", block.attention).ragged = ragged
    model.config._attn_implementation = _RAGGED
    return True


def _first_token(model: Any, pooling: str, _machine: Machine) -> bool:
    """The last block answers for the first token alone, where the head reads no other; it looks at all of them."""
    running = _running(model)
    if not running or pooled_alike(model, pooling, len(prefix(model).blocks)) != "cls":
        return False
    forward = _LAST.get(model.config.model_type)
    if forward is None:
        return False
    running[-1].forward = partial(forward, running[-1])
    return True


def _attention_in_fp32(model: Any, _pooling: str, machine: Machine) -> bool:
    """Without dropout attention learns several times as slowly in bf16 as in fp32 on a CPU (torch 2.13)."""
    if machine.device.type != "cpu" or machine.precision != "bf16":
        return False
    model.config._attn_implementation = _RAGGED
    return True


_PIECES: dict[str, Callable[[Any, str, Machine], bool]] = {
    "without_padding": _without_padding,
    "first_token": _first_token,
    "attention_in_fp32": _attention_in_fp32,
}


@dataclass
class _Ragged:
    """Where the tokens of the batch at hand are among its padded places; None where all are tokens."""

    places: Tensor | None = None
    rows: int = 0
    longest: int = 0

    def begin(self, _model: nn.Module, _args: Any, inputs: dict[str, Any]) -> None:
        mask = inputs["attention_mask"]
        self.rows, self.longest = mask.shape
        self.places = None if bool(mask.all()) else mask.flatten().nonzero().squeeze(1)

    def pack(self, _block: nn.Module, args: tuple[Any, ...]) -> Any:
        """From [rows, longest, size] to [1, tokens, size]."""
        hidden, *others = args
        packed = hidden if self.places is None else hidden.flatten(0, 1)[self.places].unsqueeze(0)
        return (packed, *others)

    def unpack(self, _block: nn.Module, args: tuple[Any, ...]) -> Any:
        """And back, zeros in the place of padding."""
        hidden, *others = args
        return (hidden if self.places is None else self.padded(hidden[0], self.places), *others)

    def padded(self, tokens: Tensor, places: Tensor) -> Tensor:
        """From [tokens, ...] to [rows, longest, ...]."""
        room = tokens.new_zeros(self.rows * self.longest, *tokens.shape[1:])
        return room.index_copy(0, places, tokens).view(self.rows, self.longest, *tokens.shape[1:])


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **how: Any) -> Any:
    """Attention [1, heads, tokens, size] of rows that stand one after the other; in the last block, of padded ones."""
    ragged = getattr(module, "ragged", None)
    if ragged is None or ragged.places is None:
        return _attention(module, query, key, value, mask, **how)
    query, key, value = (
        ragged.padded(each[0].transpose(0, 1), ragged.places).transpose(1, 2) for each in (query, key, value)
    )
    found, _ = _attention(module, query, key, value, mask, **how)
    return found.flatten(0, 1)[ragged.places].unsqueeze(0), None


def _attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **how: Any) -> Any:
    """transformers' own, [rows, tokens, heads, size]; in fp32 where that is what is slow in bf16."""
    if query.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not _learns(query) or how.get("dropout"):
        return sdpa_attention_forward(module, query, key, value, mask, **how)
    mask = mask if mask is None or mask.dtype == torch.bool else mask.float()
    with torch.autocast("cpu", enabled=False):
        found, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **how)
    return found.to(value.dtype), None


def _learns(query: Tensor) -> bool:
    return torch.is_grad_enabled() and query.requires_grad


AttentionInterface.register(_RAGGED, _attend)
AttentionMaskInterface.register(_RAGGED, sdpa_mask)


def _last_like_bert(block: Any, hidden: Tensor, mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    attention, first = block.attention.self, hidden[:, :1]
    found = _look(attention, (attention.query, attention.key, attention.value), hidden, mask)
    states: Tensor = block.feed_forward_chunk(block.attention.output(found, first))
    return states


def _last_of_distilbert(block: Any, hidden: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Tensor:
    attention, first = block.attention, hidden[:, :1]
    found = _look(attention, (attention.q_lin, attention.k_lin, attention.v_lin), hidden, attention_mask)
    states = block.sa_layer_norm(attention.out_lin(found) + first)
    output: Tensor = block.output_layer_norm(block.ffn(states) + states)
    return output


def _look(attention: Any, parts: tuple[Any, Any, Any], hidden: Tensor, mask: Tensor | None) -> Tensor:
    """What the first token [rows, 1, size] takes from all."""
    query, key, value = (
        part(states).view(*states.shape[:2], -1, attention.attention_head_size).transpose(1, 2)
        for part, states in zip(parts, (hidden[:, :1], hidden, hidden), strict=True)
    )
    mask = mask if mask is None else mask[..., :1, :]
    dropout = attention.dropout.p if attention.training else 0.0
    found, _ = _attention(attention, query, key, value, mask, dropout=dropout, scaling=attention.scaling)
    states: Tensor = found.flatten(2)
    return states


_LAST: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(_LIKE_BERT, _last_like_bert),
    "distilbert": _last_of_distilbert,
}


def _running(model: Any) -> list[Any]:
    """The blocks that were not taken away, in order."""
    return [block for block in prefix(model).blocks if any(True for _ in block.parameters())]
