"""Matrix products of layers in fp32 by oneDNN, which some CPUs gain by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LEAST = 128
"""Numbers on the narrower side of a layer's matrix, at the least: with fewer a call costs more than it gains."""


def there_are() -> bool:
    """Whether this torch has oneDNN's products."""
    built: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What torch's `linear` gives, [..., columns] by [rows, columns] to [..., rows], forward and backward."""
    flat = states.reshape(
        -1, states.shape[-1]
    )  # out here: what `apply` gives is no view then, and may be changed in place
    found: Tensor = _Product.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    return found.view(*states.shape[:-1], -1)


def onednn_products(model: Any) -> bool:
    """Let a model's layers in fp32 be oneDNN's; whether there are any that are large enough."""
    return bool(_made(model))


@contextmanager
def for_a_while(model: Any) -> Iterator[None]:
    """Let a model's layers in fp32 be oneDNN's, and torch's again at the end."""
    layers = _made(model)
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


def _made(model: Any) -> list[nn.Linear]:
    layers = [part for part in model.modules() if type(part) is nn.Linear and min(part.weight.shape) >= LEAST]
    for layer in layers:
        layer.__class__ = _Linear
    return layers


def are_in(model: Any) -> bool:
    """Whether layers of a model are oneDNN's."""
    return any(type(part) is _Linear for part in model.modules())


class _Linear(nn.Linear):
    """torch's, its product oneDNN's."""

    def forward(self, input: Tensor) -> Tensor:
        """States [..., columns] to [..., rows]."""
        plain = input.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not plain or not input.numel() or input.device.type != "cpu":
            return super().forward(input)
        return product(input, self.weight, self.bias)


class _Product(torch.autograd.Function):
    """oneDNN's product has no backward of its own for plain matrices: it is two more of them."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The product; keeps what its gradients need. One with gaps is copied: oneDNN has its slowest code for it."""
        states = states.contiguous()
        ctx.save_for_backward(states, weight)
        return _of(states, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of states, weight and bias, of those that learn."""
        states, weight = ctx.saved_tensors
        of_states, of_weight, of_bias = ctx.needs_input_grad
        gradient = gradient.contiguous()
        return (
            _of(gradient, weight.t()) if of_states else None,
            _of(gradient.t(), states.t()) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _of(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
    return found
