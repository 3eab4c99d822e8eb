"""Attention row by row, of rows that stand one after the other: nothing is padded or masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from objectives.chances import mask


def attend(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scaling: float, dropout: float = 0.0
) -> Tensor:
    """From [heads, tokens, size] each to [tokens, heads, size].

    It is softmax(scaling * query @ key') @ value within each row. `lengths` are the rows' tokens; `dropout` is
    the chance of a weight to be dropped.
    """
    found: Tensor = _ByRow.apply(query, key, value, lengths, scaling, dropout)  # type: ignore[no-untyped-call]
    return found


class _ByRow(torch.autograd.Function):
    """Products of short matrices, their operands read where they stand: torch's own attention would copy them."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scaling: float, dropout: float
    ) -> Tensor:
        heads, tokens, size = query.shape
        areas, learns = [heads * length**2 for length in lengths], any(ctx.needs_input_grad)
        kept = mask([sum(areas)], dropout, query.dtype).split_with_sizes(areas) if dropout else None
        found, weights = query.new_empty(tokens, heads, size), []
        for number, (asks, knows, says, gets) in enumerate(_rows(lengths, query, key, value, found.transpose(0, 1))):
            seen = _product(asks, knows.transpose(1, 2), scaling).softmax(-1)
            gets.copy_(torch.bmm(seen if kept is None else seen * kept[number].view_as(seen), says))
            if learns:  # of long rows they are many
                weights.append(seen)
        ctx.save_for_backward(query, key, value)
        ctx.lengths, ctx.scaling, ctx.weights, ctx.kept = lengths, scaling, weights, kept
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = [torch.empty_like(gradient).transpose(0, 1) for _ in ctx.saved_tensors]
        rows = _rows(ctx.lengths, *ctx.saved_tensors, gradient.transpose(0, 1), *found)
        for number, (asks, knows, says, got, for_query, for_key, for_value) in enumerate(rows):
            seen = ctx.weights[number]
            kept = None if ctx.kept is None else ctx.kept[number].view_as(seen)
            for_value.copy_(torch.bmm((seen if kept is None else seen * kept).transpose(1, 2), got))
            slopes = torch.bmm(got, says.transpose(1, 2))
            slopes = slopes if kept is None else slopes.mul_(kept)
            slopes = torch._softmax_backward_data(slopes, seen, -1, seen.dtype)
            for_query.copy_(_product(slopes, knows, ctx.scaling))
            for_key.copy_(_product(slopes.transpose(1, 2), asks, ctx.scaling))
        return (*found, None, None, None)


def _rows(lengths: Sequence[int], *parts: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """What each row has of the parts [heads, tokens, size]."""
    return zip(*(part.split_with_sizes(lengths, 1) for part in parts), strict=True)


def _product(left: Tensor, right: Tensor, scaling: float) -> Tensor:
    """scaling * left @ right, matrix by matrix, in one pass."""
    room = left.new_empty(left.shape[0], left.shape[1], right.shape[2])
    return room.baddbmm_(left, right, beta=0, alpha=scaling)
