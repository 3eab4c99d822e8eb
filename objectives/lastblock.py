"""The last block for the first token alone, which looks at all, where no other is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from objectives import keyless
from objectives.attention import attend
from objectives.cutting import pooled_alike
from objectives.layers import at, prefix
from objectives.ragged import by_sdpa, running

_LIKE_BERT = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
_ATTENTION = {**dict.fromkeys(_LIKE_BERT, "attention.self"), "distilbert": "attention", "albert": "attention"}
# Their attention is not taken apart: it is done for all tokens, and what follows it for the first.
_AFTER_ATTENTION = ("deberta", "deberta-v2", "mpnet")


def first_token(model: Any, pooling: str | None) -> bool:
    """Leave the other tokens out of a model's last block; whether its head and its architecture permit it."""
    blocks, depth, kind = running(model), len(prefix(model).blocks), model.config.model_type
    if not blocks or pooled_alike(model, pooling, depth) != "cls":
        return False
    if kind in _AFTER_ATTENTION and depth > 1:  # a DeBERTa of one block may have a convolution after it
        blocks[-1].attention.register_forward_hook(_cut)
    elif kind == "albert" and by_sdpa(model):
        _Shared(model, blocks)
    elif kind in _LAST and by_sdpa(model) and not (kind == "modernbert" and _has_adapter(blocks[-1])):
        blocks[-1].forward = partial(_LAST[kind], blocks[-1])
    else:
        return False
    return True


def without_keys(model: Any) -> bool:
    """Let the first token look at states, not at keys and values made of them; whether it has a last block for itself.

    Not where a key depends on its place beside its state, as with rotary positions, nor where an adapter adds to it.
    """
    blocks, path = running(model), _ATTENTION.get(model.config.model_type)
    last = getattr(blocks[-1], "albert_layers", blocks)[-1] if blocks else None
    if path is None or last is None or "forward" not in vars(last) or _has_adapter(last):
        return False
    at(last, path).keyless = True
    return True


def _has_adapter(block: Any) -> bool:
    """Whether a matrix of it is no plain one, and so not to be taken apart."""
    return any(hasattr(part, "base_layer") for part in block.modules())


def _cut(_attention: nn.Module, _args: Any, found: tuple[Any, ...]) -> Any:
    hidden, *others = found
    return (hidden[:, :1], *others)


class _Shared:
    """ALBERT's last layer, which stands for several depths: the last time it is met in a pass counts."""

    def __init__(self, model: Any, groups: list[Any]) -> None:
        self.layer, self.uses, self.met = groups[-1].albert_layers[-1], groups.count(groups[-1]), 0
        self.whole = self.layer.forward
        self.layer.forward = self
        model.register_forward_pre_hook(self.begin)

    def begin(self, *_: Any) -> None:
        self.met = 0

    def __call__(self, hidden: Tensor, mask: Tensor | None = None, **named: Any) -> Tensor:
        self.met += 1
        found: Tensor = self.whole(hidden, mask, **named) if self.met < self.uses else self.last(hidden, mask)
        return found

    def last(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        layer, attention = self.layer, self.layer.attention
        parts = (attention.query, attention.key, attention.value)
        first = hidden[:, :1]
        found = _look(attention, parts, first, hidden, mask, attention.attention_dropout)
        states = attention.LayerNorm(first + attention.output_dropout(attention.dense(found)))
        output: Tensor = layer.full_layer_layer_norm(layer.ff_chunk(states) + states)
        return output


def _last_like_bert(block: Any, hidden: Tensor, mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    attention, first = block.attention.self, hidden[:, :1]
    parts = (attention.query, attention.key, attention.value)
    found = _look(attention, parts, first, hidden, mask, attention.dropout)
    states: Tensor = block.feed_forward_chunk(block.attention.output(found, first))
    return states


def _last_of_distilbert(block: Any, hidden: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Tensor:
    attention, first = block.attention, hidden[:, :1]
    parts = (attention.q_lin, attention.k_lin, attention.v_lin)
    found = _look(attention, parts, first, hidden, attention_mask, attention.dropout)
    states = block.sa_layer_norm(attention.out_lin(found) + first)
    output: Tensor = block.output_layer_norm(block.ffn(states) + states)
    return output


def _last_of_modernbert(
    block: Any,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    position_embeddings: tuple[Tensor, Tensor] | None = None,
    **_: Any,
) -> Tensor:
    attention = block.attn
    weights, bias = attention.Wqkv.weight.chunk(3), attention.Wqkv.bias
    biases = (None, None, None) if bias is None else bias.chunk(3)
    parts = [partial(linear, weight=weight, bias=bias) for weight, bias in zip(weights, biases, strict=True)]
    states = block.attn_norm(hidden)
    found = _look(
        attention, parts, states[:, :1], states, attention_mask, attention.attention_dropout, position_embeddings
    )
    states = hidden[:, :1] + attention.out_drop(attention.Wo(found))
    output: Tensor = states + block.mlp(block.mlp_norm(states))
    return output


_LAST: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(_LIKE_BERT, _last_like_bert),
    "distilbert": _last_of_distilbert,
    "modernbert": _last_of_modernbert,
}


def _look(
    attention: Any,
    parts: Any,
    first: Tensor,
    hidden: Tensor,
    mask: Tensor | None,
    dropout: nn.Dropout | float,
    rotary: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """What the `first` token [rows, 1, size] takes from all; `parts` make queries, keys and values."""
    size = attention.head_dim if rotary else attention.attention_head_size
    if getattr(attention, "keyless", False):
        return keyless.look(parts, size, first, hidden, mask, dropout)
    query, key, value = (
        part(states).view(*states.shape[:2], -1, size).transpose(1, 2)
        for part, states in zip(parts, (first, hidden, hidden), strict=True)
    )
    if rotary:
        query, _ = apply_rotary_pos_emb(query, query, *(each[:, :1] for each in rotary))
        _, key = apply_rotary_pos_emb(key, key, *rotary)
    mask = mask if mask is None else mask[..., :1, :]
    chance = getattr(dropout, "p", dropout) if attention.training else 0.0
    return attend(attention, query, key, value, mask, dropout=chance, scaling=size**-0.5).flatten(2)
