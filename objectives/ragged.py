"""Rows without padding: all but attention sees tokens alone, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from objectives import byrow, products
from objectives.attention import attend
from objectives.devices import Machine
from objectives.layers import at, prefix

ALIKE = {"bf16": 32, "onednn": 32}
"""What numbers of tokens are multiples of, by precision: oneDNN compiles products for each new size, all in bf16."""
_RAGGED = "hpo_ragged"
_THROUGH_INTERFACE = (
    *("albert", "bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta"),
)
# Attention that is no business of the interface: a part of each block, which is given padded states.
_PADDED = {"deberta": "attention.self", "deberta-v2": "attention.self", "mpnet": "attention.attn"}


def without_padding(model: Any, machine: Machine) -> bool:
    """Pack the tokens of a batch between the first block that runs and the last; whether that was possible.

    Attention alone sees padded rows, and so does the last block.
    """
    blocks = running(model)
    if any(True for _ in _convolution(model)):
        blocks = blocks[1:]  # it follows the first block, and looks at neighbours
    # A GPU would have to wait in each step for how many tokens there are.
    if len(blocks) < 2 or machine.device.type != "cpu":
        return False
    path = _PADDED.get(model.config.model_type)
    if path is None and not by_sdpa(model):
        return False
    alike = ALIKE.get("onednn" if products.are_in(model) else machine.precision, 1)
    ragged = _Ragged(len(blocks) - 1, by_row=path is None, alike=alike)
    model.register_forward_pre_hook(ragged.begin, with_kwargs=True)
    for block in dict.fromkeys(blocks):
        block.register_forward_pre_hook(ragged.enter, with_kwargs=True)
        if path is None:
            _know(block, ragged)
        else:
            at(block, path).register_forward_pre_hook(ragged.pad)
            at(block, path).register_forward_hook(ragged.pack_again)
    if path is None:
        model.config._attn_implementation = _RAGGED
    return True


def attention_in_fp32(model: Any, machine: Machine) -> bool:
    """Let attention learn in fp32 where the rest is in bf16 on a CPU; whether it can be told to."""
    if machine.device.type != "cpu" or machine.precision != "bf16" or not by_sdpa(model):
        return False
    model.config._attn_implementation = _RAGGED
    return True


def running(model: Any) -> list[Any]:
    """The blocks that were not taken away, in order; one that is shared appears once for each use."""
    return [block for block in prefix(model).blocks if any(True for _ in block.parameters())]


def by_sdpa(model: Any) -> bool:
    """Whether attention is torch's own, through transformers' interface."""
    chosen = model.config._attn_implementation
    return model.config.model_type in _THROUGH_INTERFACE and chosen in ("sdpa", _RAGGED)


@dataclass
class _Ragged:
    """Where the tokens of the batch at hand are among its padded places; None from the last block on, and where all are
    tokens, unless attention is done row by row, which is quicker then, too. Some padding makes their number a multiple
    of `alike`: a row of its own, which is no part of any other and which nothing is made of."""

    last: int
    by_row: bool
    alike: int = 1
    place: int = 0
    places: Tensor | None = None
    lengths: tuple[int, ...] = ()
    rows: int = 0
    longest: int = 0

    def begin(self, _model: nn.Module, _args: Any, inputs: dict[str, Any]) -> None:
        mask = inputs["attention_mask"]
        self.place = 0
        self.rows, self.longest = mask.shape
        self.lengths = tuple(mask.sum(1).tolist())
        full = not self.by_row and sum(self.lengths) == mask.numel()
        self.places = None if full else self._places(mask.flatten())

    def _places(self, mask: Tensor) -> Tensor:
        """Those of the tokens, and of the row of padding behind them."""
        found = mask.nonzero().squeeze(1)
        more = min(-len(found) % self.alike, len(mask) - len(found))
        if not more:
            return found
        self.lengths = (*self.lengths, more)
        return torch.cat([found, (mask == 0).nonzero().squeeze(1)[:more]])

    def enter(self, _block: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Pack before the first block, from [rows, longest, size] to [1, tokens, size], and unpack before the last."""
        place, places, (hidden, *others) = self.place, self.places, args
        self.place += 1
        if places is None:
            return None
        if place == self.last:
            self.places = None
            return (self.padded(hidden.squeeze(0), places), *others), named
        if "position_embeddings" in named:  # rotary: as many as there are tokens
            named = {**named, "position_embeddings": self._rotary(named["position_embeddings"], places)}
        return (self.packed(hidden, places) if place == 0 else hidden, *others), named

    def pad(self, _attention: nn.Module, args: tuple[Any, ...]) -> Any:
        """Give padded states to what cannot do with less."""
        hidden, *others = args
        return None if self.places is None else (self.padded(hidden.squeeze(0), self.places), *others)

    def pack_again(self, _attention: nn.Module, _args: Any, found: tuple[Any, ...]) -> Any:
        """And take the padding off what it found."""
        hidden, *others = found
        return None if self.places is None else (self.packed(hidden, self.places), *others)

    def packed(self, states: Tensor, places: Tensor) -> Tensor:
        """From [rows, longest, ...] to [1, tokens, ...]."""
        return states.flatten(0, 1)[places].unsqueeze(0)

    def padded(self, tokens: Tensor, places: Tensor) -> Tensor:
        """From [tokens, ...] to [rows, longest, ...], zeros in the place of padding."""
        room = tokens.new_zeros(self.rows * self.longest, *tokens.shape[1:])
        return room.index_copy_(0, places, tokens).view(self.rows, self.longest, *tokens.shape[1:])

    def _rotary(self, embeddings: tuple[Tensor, ...], places: Tensor) -> tuple[Tensor, ...]:
        """Of each token [1, tokens, size], from those of each place in a row [1, longest, size]."""
        return tuple(each[:, places % self.longest] for each in embeddings)


def _know(block: Any, ragged: _Ragged) -> None:
    for part in block.modules():
        part.ragged = ragged


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **how: Any) -> Any:
    """Attention [1, heads, tokens, size] of rows that stand one after the other; in the last block, of padded ones."""
    ragged = getattr(module, "ragged", None)
    if ragged is None or ragged.places is None:
        return attend(module, query, key, value, mask, **how), None
    if not how.get("sliding_window"):
        return _by_row(ragged.lengths, query, key, value, **how), None
    query, key, value = (
        ragged.padded(each.squeeze(0).transpose(0, 1), ragged.places).transpose(1, 2) for each in (query, key, value)
    )
    return ragged.packed(attend(module, query, key, value, mask, **how), ragged.places), None


def _by_row(lengths: Sequence[int], *parts: Tensor, scaling: float, dropout: float = 0.0, **_: Any) -> Tensor:
    """From [1, heads, tokens, size] each to [1, tokens, heads, size]; in fp32 always, which so short products gain."""
    with torch.autocast(parts[0].device.type, enabled=False):
        query, key, value = (each.squeeze(0).float() for each in parts)
        found = byrow.attend(query, key, value, lengths, scaling, dropout)
    return found.to(parts[0].dtype).unsqueeze(0)


AttentionInterface.register(_RAGGED, _attend)
AttentionMaskInterface.register(_RAGGED, sdpa_mask)


def _convolution(model: Any) -> Any:
    """The parameters of DeBERTa's, where there is one that was not taken away."""
    found = at(model.base_model, "encoder.conv")
    return () if found is None else found.parameters()
