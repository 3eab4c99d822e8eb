"""Attention row by row: what torch's own says of each row alone, forward and backward."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from objectives import byrow

LENGTHS = (3, 1, 7)


def parts() -> list[Tensor]:
    """Queries, keys and values [2 heads, 11 tokens, 4], as a linear layer leaves them."""
    torch.manual_seed(0)
    return [torch.randn(11, 2, 4).requires_grad_() for _ in range(3)]


def test_a_row_attends_to_itself_alone() -> None:
    mine, theirs = parts(), parts()
    found = byrow.attend(*(part.transpose(0, 1) for part in mine), LENGTHS, 0.3)
    rows = zip(*(part.transpose(0, 1).split(LENGTHS, 1) for part in theirs), strict=True)
    right = torch.cat([scaled_dot_product_attention(*row, scale=0.3) for row in rows], 1).transpose(0, 1)
    torch.testing.assert_close(found, right)
    slope = torch.randn(found.shape)
    found.backward(slope)
    right.backward(slope)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_gradients_with_dropout_are_those_of_what_was_dropped() -> None:
    def attend(*inputs: Tensor) -> Tensor:
        torch.manual_seed(5)  # the same mask each time
        return byrow.attend(*(part.transpose(0, 1) for part in inputs), LENGTHS, 0.3, 0.4)

    mine, step = parts(), 1e-2
    torch.manual_seed(1)
    slope = torch.randn(11, 2, 4)
    attend(*mine).backward(slope)
    for number, part in enumerate(mine):
        toward = torch.randn(part.shape)
        ends = [
            attend(*(each.detach() + sign * step * toward * (at == number) for at, each in enumerate(mine)))
            for sign in (1, -1)
        ]
        assert part.grad is not None
        measured = ((ends[0] - ends[1]) * slope).sum() / (2 * step)
        torch.testing.assert_close((part.grad * toward).sum(), measured, atol=2e-3, rtol=2e-2)


def test_dropout_leaves_the_mean_as_it_is() -> None:
    inputs = [part.detach().transpose(0, 1) for part in parts()]
    torch.manual_seed(0)
    draws = torch.stack([byrow.attend(*inputs, LENGTHS, 0.3, 0.5) for _ in range(3000)])
    torch.testing.assert_close(draws.mean(0), byrow.attend(*inputs, LENGTHS, 0.3), atol=0.15, rtol=0)
    assert not torch.equal(draws[0], draws[1])
