"""Dropout whose random numbers a CPU draws many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
_WIDTH = 16
_SEEDS = 2**63 - 1


def quick_dropout(model: Any, device: torch.device) -> bool:
    """Let a model's dropout draw from `mask` on a CPU; whether there is any that drops.

    torch draws there for one number after the other, which takes it longer than to use them.
    """
    layers = [part for part in model.modules() if type(part) is nn.Dropout and 0 < part.p < 1]
    if device.type != "cpu" or not layers:
        return False
    for layer in layers:
        layer.__class__ = _Dropout
    return True


def mask(shape: Sequence[int], chance: float, dtype: torch.dtype) -> Tensor:
    """0 with this chance, between 0 and 1, else 1 / (1 - chance), each number independently of the others.

    All follow from torch's generator, which gives the seed of a quicker one (SFC64). The chance is met to 2^-16.
    """
    integers, size = _BITS[dtype], prod(shape)
    raw = np.random.SFC64(int(torch.randint(_SEEDS, ()))).random_raw(-(-size * _WIDTH // 64))
    drawn = torch.from_numpy(raw.view(np.int16))[:size]
    # As integers: 1 for what is kept, then the bits of the number that it is multiplied by.
    drawn = drawn.ge_(round(chance * 2**_WIDTH) - 2 ** (_WIDTH - 1)).to(integers)
    drawn.mul_(torch.tensor(1 / (1 - chance), dtype=dtype).view(integers))
    return drawn.view(dtype).view(*shape)


class _Dropout(nn.Dropout):
    """torch's, with a mask of ours."""

    def forward(self, input: Tensor) -> Tensor:
        """Numbers of any shape, some of them 0 while it trains."""
        if not self.training or input.dtype not in _BITS:
            return super().forward(input)
        return input * mask(input.shape, self.p, input.dtype)
