"""What tasks share whose rows are a text, or a pair of texts, with one answer each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, tensor
from torch.nn.functional import cross_entropy

from objectives import metrics
from objectives.batches import UNLABELLED, Batch, Example, texts
from objectives.data import Table
from objectives.settings import Data
from objectives.tokenized import Reader

Told = tuple[Any, float | None]
"""What a model says of a row, ready for JSON, and the probability it gives that, where it gives one."""


def encode(table: Table, reader: Reader, data: Data, label: Callable[[str], Any]) -> list[Example]:
    """The rows with what `label` makes of the cell to predict."""
    pairs = table.column(data.pair) if data.pair else None
    read = reader(table.column(data.text), pairs, max_length=data.max_length)
    known = data.label in table.columns
    labels = [label(cell) for cell in table.column(data.label)] if known else [0] * len(table)
    return [
        Example(tokens, label, types=types)
        for tokens, types, label in zip(read.tokens, read.types, labels, strict=True)
    ]


def collate(examples: Sequence[Example], tokenizer: Any) -> Batch:
    """A batch, padded to its longest row."""
    return Batch(texts(examples, tokenizer.pad_token_id), tensor([example.label for example in examples]))


def logits(_model: Any, _batch: Batch, logits: Tensor) -> Tensor:
    """A row's answer is its logits."""
    return logits.cpu()


def loss_of_tokens(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """The sum over the tokens of each row [rows] that have a label, of logits [rows, tokens, classes]."""
    how = {"ignore_index": UNLABELLED, "reduction": "none", "label_smoothing": label_smoothing}
    return cross_entropy(logits.transpose(1, 2), labels, weight, **how).sum(dim=1)  # type: ignore[arg-type]


def perplexities(losses: Tensor, examples: Sequence[Example]) -> Iterator[Told]:
    """Of each row, from the sum of its tokens' losses [rows]."""
    for loss, row in zip(losses.tolist(), examples, strict=True):
        yield metrics.perplexity(tensor(loss), max(1, row.items)), None
