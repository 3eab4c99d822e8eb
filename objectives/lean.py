"""Work that no result needs, left out: padding, tokens no head reads, embeddings no row reads.

Each piece is transformers' own computation on fewer rows of its matrices; what it cannot be sure of stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from objectives.cutting import pooled_alike
from objectives.layers import FAMILIES, prefix
from objectives.optimizers import ELEMENTWISE
from objectives.vocabulary import used_embeddings

_LIKE_BERT = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
_RAGGED = "hpo_ragged"


@dataclass(frozen=True)
class Case:
    """A model that is to be trained, its head's `pooling`, where, by which optimizer, and what tells its `tokens`."""

    model: Any
    pooling: str
    device: torch.device
    optimizer: str
    tokens: Callable[[], Collection[int]]


def lighten(case: Case) -> list[str]:
    """Leave out of a model's training what no result needs; the names of the pieces that apply to it.

    Losses and metrics agree with the plain model's, but for the last digits and for what dropout draws.
    """
    if case.model.config.model_type not in FAMILIES:
        return []
    return [name for name, piece in _PIECES.items() if piece(case)]


def _without_padding(case: Case) -> bool:
    """Linear layers, norms and dropout see tokens alone, one after the other; only attention pads them."""
    model = case.model
    running = _running(model)
    # A GPU would have to wait in each step for how many tokens there are.
    if len(running) < 2 or case.device.type != "cpu" or not _by_sdpa(model, (*_LIKE_BERT, "distilbert")):
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


def _first_token(case: Case) -> bool:
    """The last block answers for the first token alone, where the head reads no other; it looks at all of them."""
    model = case.model
    running = _running(model)
    if not running or pooled_alike(model, case.pooling, len(prefix(model).blocks)) != "cls":
        return False
    if not _by_sdpa(model, _LAST):
        return False
    running[-1].forward = partial(_LAST[model.config.model_type], running[-1])
    return True


def _used_embeddings(case: Case) -> bool:
    """Embeddings of tokens that no row has are not there, where each number is stepped by its own gradient."""
    return case.optimizer in ELEMENTWISE and used_embeddings(case.model, case.tokens)


_PIECES: dict[str, Callable[[Case], bool]] = {
    "without_padding": _without_padding,
    "first_token": _first_token,
    "used_embeddings": _used_embeddings,
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
        return sdpa_attention_forward(module, query, key, value, mask, **how)
    query, key, value = (
        ragged.padded(each[0].transpose(0, 1), ragged.places).transpose(1, 2) for each in (query, key, value)
    )
    found, _ = sdpa_attention_forward(module, query, key, value, mask, **how)
    return found.flatten(0, 1)[ragged.places].unsqueeze(0), None


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
    found = scaled_dot_product_attention(query, key, value, mask, dropout, scale=attention.scaling)
    return found.transpose(1, 2).flatten(2)


_LAST: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(_LIKE_BERT, _last_like_bert),
    "distilbert": _last_of_distilbert,
}


def _by_sdpa(model: Any, families: Container[str]) -> bool:
    return model.config.model_type in families and model.config._attn_implementation in ("sdpa", _RAGGED)


def _running(model: Any) -> list[Any]:
    """The blocks that were not taken away, in order."""
    return [block for block in prefix(model).blocks if any(True for _ in block.parameters())]
