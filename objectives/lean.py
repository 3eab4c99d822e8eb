"""Work that no result needs, left out: padding, tokens no head reads, embeddings no row reads.

Each piece is transformers' own computation on fewer rows of its matrices, or in the numbers that are quicker; what it
cannot be sure of stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from objectives.adapters import is_wrapped
from objectives.chances import quick_dropout
from objectives.devices import Machine
from objectives.lastblock import first_token, without_keys
from objectives.layers import FAMILIES
from objectives.models import DECODERS
from objectives.optimizers import ELEMENTWISE
from objectives.products import onednn_products
from objectives.ragged import attention_in_fp32, without_padding
from objectives.switches import Piece
from objectives.vocabulary import used_embeddings


@dataclass(frozen=True)
class Case:
    """A model that is to be trained, its head's `pooling`, None where it reads every token, where, by which optimizer,
    what tells its `tokens`, and whether layers are to be by oneDNN."""

    model: Any
    pooling: str | None
    machine: Machine
    optimizer: str
    tokens: Callable[[], Collection[int]]
    onednn: bool = False


def lighten(case: Case) -> list[str]:
    """Leave out of a model's training what no result needs; the names of the pieces that apply to it and are on.

    Losses and metrics agree with the plain model's, but for the last digits and for what dropout draws.
    """
    known = FAMILIES.get(case.model.config.model_type)
    twice = any(getattr(part, "gradient_checkpointing", False) for part in case.model.modules())  # hooks, too
    writes = known is not None and (known.decoder is not None or case.model.config.model_type in DECODERS)
    if known is None or known.images or writes or twice or is_wrapped(case.model):
        return []
    return [name for name, piece in PIECES.items() if case.machine.does(name) and piece(case)]


def _onednn_products(case: Case) -> bool:
    return case.onednn and onednn_products(case.model)


def _without_padding(case: Case) -> bool:
    return without_padding(case.model, case.machine)


def _first_token(case: Case) -> bool:
    return first_token(case.model, case.pooling)


def _without_keys(case: Case) -> bool:
    return without_keys(case.model)


def _attention_in_fp32(case: Case) -> bool:
    return attention_in_fp32(case.model, case.machine)


def _used_embeddings(case: Case) -> bool:
    """Only where each number is stepped by its own gradient: that of the others is zero."""
    return case.optimizer in ELEMENTWISE and used_embeddings(case.model, case.tokens)


def _quick_dropout(case: Case) -> bool:
    return quick_dropout(case.model, case.machine.device)


PIECES: dict[Piece, Callable[[Case], bool]] = {
    "onednn_products": _onednn_products,  # first: numbers of tokens go by it
    "without_padding": _without_padding,
    "first_token": _first_token,
    "without_keys": _without_keys,
    "used_embeddings": _used_embeddings,
    "attention_in_fp32": _attention_in_fp32,
    "quick_dropout": _quick_dropout,
}
