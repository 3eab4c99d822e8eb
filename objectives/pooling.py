"""A head that is the same on every architecture: the tokens pooled to one vector, and a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


def _first(hidden: Tensor, _mask: Tensor) -> Tensor:
    return hidden[:, 0]


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return (hidden * mask).sum(1) / mask.sum(1)


def _max(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask == 0, float("-inf")).amax(1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cls": _first, "mean": _mean, "max": _max}
"""Hidden states [rows, tokens, size] and a mask [rows, tokens, 1], 0 where a token is padding, to [rows, size]."""


@dataclass(frozen=True)
class Answer:
    """Logits [rows, classes], as transformers' outputs name them."""

    logits: Tensor


class Pooled(nn.Module):
    """A transformers model without its own pooler, one of POOLINGS, dropout, and a linear layer to the labels."""

    def __init__(self, body: Any, pooling: str) -> None:
        super().__init__()
        if getattr(body, "pooler", None) is not None:
            body.pooler = None
        self.config = body.config
        self.body = body
        self.pool = POOLINGS[pooling]
        self.dropout = nn.Dropout(_dropout(body.config))
        self.classifier = nn.Linear(body.config.hidden_size, len(body.config.id2label))
        nn.init.normal_(self.classifier.weight, std=body.config.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    @property
    def base_model(self) -> Any:
        """The model without the head, under the name that transformers gives it."""
        return self.body

    def forward(self, attention_mask: Tensor, **inputs: Tensor) -> Answer:
        """Logits for what the body reads, `input_ids` as a rule, and the mask of its tokens [rows, tokens]."""
        hidden = self.body(attention_mask=attention_mask, **inputs).last_hidden_state
        pooled = self.pool(hidden, attention_mask.unsqueeze(-1).to(hidden.dtype))
        return Answer(self.classifier(self.dropout(pooled)))


def _dropout(config: Any) -> float:
    """What the architecture's own head would drop."""
    names = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "hidden_dropout_prob")
    return next((float(found) for name in names if (found := getattr(config, name, None)) is not None), 0.0)
