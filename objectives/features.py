"""What a model makes of each row: the vector that its last linear layer reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from objectives.batches import Batch, Example, by_length, chunks, joined

ROWS_AT_ONCE = 64


@torch.inference_mode()
def features(
    model: Any, examples: Sequence[Example], collate: Callable[[Sequence[Example]], Batch], device: torch.device
) -> Tensor:
    """The vectors [rows, size] in fp64 on the CPU, of a model that makes one of each row before its head."""
    model.to(device).eval()
    last = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    order, found = by_length(examples), list[Tensor]()
    hook = last.register_forward_pre_hook(lambda _, read: found.append(read[0].flatten(1).double().cpu()))
    try:
        for rows in chunks(order, ROWS_AT_ONCE):
            model(**collate([examples[row] for row in rows]).to(device).inputs)
    finally:
        hook.remove()
    return joined(found, order)  # type: ignore[no-any-return]
