"""Gradual unfreezing: the head learns first, then one more block at a time, from the top (arXiv 1801.06146)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from objectives.layers import only_side


@contextmanager
def thawed(model: Any, count: int | None) -> Iterator[None]:
    """Within the block no more than the head and the last `count` blocks learn; None lets all learn that may.

    The stem joins last, with a count above the number of blocks (Howard and Ruder 2018).
    """
    held = [] if count is None else _held(model, count)
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_()


def _held(model: Any, count: int) -> list[Any]:
    """What would learn, and must not yet; a block that is used at several depths learns with the first of them."""
    parts = only_side(model, "training.unfreeze_every")
    last = max(len(parts.blocks) - count, 0)
    early = (*(parts.stem if count <= len(parts.blocks) else ()), *parts.blocks[:last])
    free = {id(parameter) for block in parts.blocks[last:] for parameter in block.parameters()}
    every = {id(parameter): parameter for part in early for parameter in part.parameters()}
    return [one for key, one in every.items() if one.requires_grad and key not in free]
