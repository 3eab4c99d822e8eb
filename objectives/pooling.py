"""A head that is the same on every architecture: the tokens pooled to one vector, and a linear layer, or two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from objectives.quantized import marks
from objectives.settings import Head

PLAIN = Head()


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


ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}


class Pooled(nn.Module):
    """A transformers model without its own pooler, one of POOLINGS, dropout, and a linear layer to the labels, or two
    with an activation between them."""

    def __init__(self, body: Any, pooling: str, head: Head = PLAIN) -> None:
        super().__init__()
        if getattr(body, "pooler", None) is not None:
            body.pooler = None
        self.config = body.config
        self.body = body
        vars(self).update(marks(body))
        self.pool = POOLINGS[pooling]
        self.dropout = nn.Dropout(_dropout(body.config))
        self.classifier = _classifier(body.config, head)

    @property
    def base_model(self) -> Any:
        """The model without the head, under the name that transformers gives it."""
        return self.body

    def forward(self, attention_mask: Tensor, **inputs: Tensor) -> Answer:
        """Logits for what the body reads, `input_ids` as a rule, and the mask of its tokens [rows, tokens]."""
        hidden = self.body(attention_mask=attention_mask, **inputs).last_hidden_state
        pooled = self.pool(hidden, attention_mask.unsqueeze(-1).to(hidden.dtype))
        return Answer(self.classifier(self.dropout(pooled)))


def _classifier(config: Any, head: Head) -> nn.Module:
    classes = len(config.id2label)
    if not head.hidden:
        return _linear(config, config.hidden_size, classes)
    first, last = _linear(config, config.hidden_size, head.hidden), _linear(config, head.hidden, classes)
    return nn.Sequential(first, ACTIVATIONS[head.activation](), nn.Dropout(_dropout(config)), last)


def _linear(config: Any, size: int, found: int) -> nn.Linear:
    layer = nn.Linear(size, found)
    nn.init.normal_(layer.weight, std=config.initializer_range)
    nn.init.zeros_(layer.bias)
    return layer


def _dropout(config: Any) -> float:
    """What the architecture's own head would drop."""
    names = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "hidden_dropout_prob")
    return next((float(found) for name in names if (found := getattr(config, name, None)) is not None), 0.0)
