"""What an image takes in a model: its states' shape after each block, and the work so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from objectives.cutting import watched
from objectives.layers import prefix

_known: dict[str, dict[int, Seen]] = {}


@dataclass(frozen=True)
class Seen:
    """The shape of an image's states, and the floating point operations of all layers before them."""

    shape: tuple[int, ...]
    flops: float


def seen(model: Any, inputs: Mapping[str, Tensor]) -> dict[int, Seen]:
    """By depth, from 1 on, as a pass of one row, `inputs` [1, ...], has them; looked at once a process."""
    key = f"{model.config.to_json_string()} {[(name, [*tensor.shape]) for name, tensor in inputs.items()]}"
    if key not in _known:
        _known[key] = _looked(model, inputs)
    return _known[key]


def _looked(model: Any, inputs: Mapping[str, Tensor]) -> dict[int, Seen]:
    parts, work = prefix(model), dict[nn.Module, float]()
    layers = [part for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    hooks = [
        part.register_forward_hook(lambda layer, _, found: work.update({layer: _flops(layer, found)}))
        for part in layers
    ]
    try:
        with torch.inference_mode(), watched(model.eval(), range(1, len(parts.blocks) + 1)) as look:
            shapes = {depth: tuple(states.shape[1:]) for depth, states in look(inputs).items()}
    finally:
        for hook in hooks:
            hook.remove()
    stem = sum(work.get(layer, 0.0) for part in parts.stem for layer in part.modules())
    blocks = (sum(work.get(layer, 0.0) for layer in block.modules()) for block in parts.blocks)
    flops = [*accumulate(blocks, initial=stem)]
    return {depth: Seen(shape, flops[depth]) for depth, shape in sorted(shapes.items())}


def _flops(layer: nn.Linear | nn.Conv2d, found: Tensor) -> float:
    """Two for each weight at each place, of which a row has as many as its output has numbers a channel."""
    channels = layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features
    return 2.0 * layer.weight.numel() * prod(found.shape) / channels
