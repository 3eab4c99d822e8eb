"""The pieces of a lean step by name, each of which can be switched off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Piece = Literal[
    "onednn_products",
    "without_padding",
    "first_token",
    "without_keys",
    "used_embeddings",
    "attention_in_fp32",
    "quick_dropout",
    "fused_optimizer",
    "sdpa",
    "inference_mode",
    "asynchronous_steps",
]
"""What each of them leaves out or does otherwise is in README, under Speed."""

PIECES: tuple[Piece, ...] = get_args(Piece)


def pieces(names: Iterable[str]) -> tuple[Piece, ...]:
    """Those of these names, in order, all of them for `all`; raises ValueError with the first name that is none's."""
    wanted = set(names)
    unknown = sorted(wanted.difference(PIECES, ["all"]))
    if unknown:
        raise ValueError(unknown[0])
    return tuple(piece for piece in PIECES if piece in wanted or "all" in wanted)
