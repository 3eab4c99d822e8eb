"""Embeddings of tokens that occur alone: others are neither stepped nor saved."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

from objectives.layers import learns, prefix


def used_embeddings(model: Any, used: Callable[[], Collection[int]]) -> bool:
    """Keep of a model's word embeddings the rows of the tokens that are used; whether any could be left out.

    The model goes on reading the vocabulary's own numbers, so that padding is still told by its. What is left out had
    gradients of zero: it changed by weight decay alone, and no loss saw it.
    """
    says = getattr(model, "get_output_embeddings", None)
    if says is not None and says() is not None:  # the head may say any token, and is often the same numbers
        return False
    if not any(map(learns, prefix(model).stem)):
        return False
    body = model.base_model
    whole = body.get_input_embeddings()
    if type(whole) is not nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return False
    if not learns(whole):  # where biases of the stem do
        return False
    kept = torch.tensor(sorted({*used(), *([] if whole.padding_idx is None else [whole.padding_idx])}))
    if len(kept) == whole.num_embeddings:
        return False
    body.set_input_embeddings(_Kept(whole, kept))
    return True


class _Kept(nn.Embedding):
    """Some rows of a whole table, under the numbers they have there; any other number is an error."""

    places: Tensor

    def __init__(self, whole: nn.Embedding, kept: Tensor) -> None:
        places = torch.full((whole.num_embeddings,), -1)
        places[kept] = torch.arange(len(kept))
        padding = None if whole.padding_idx is None else int(places[whole.padding_idx])
        weight = whole.weight.detach()[kept.to(whole.weight.device)]
        super().__init__(len(kept), whole.embedding_dim, padding, _weight=weight)
        self.register_buffer("places", places.to(weight.device), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """The embeddings [..., size] of tokens [...]."""
        return super().forward(self.places[input])
