"""One class for each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, tensor
from torch.nn.functional import cross_entropy

from objectives import data as rows
from objectives import metrics
from objectives.batches import Batch, Example, pad
from objectives.settings import Data


class TextClassification:
    """Reads the column `data.text`, predicts the column `data.label`."""

    head = "sequence-classification"

    def columns(self, data: Data) -> tuple[str, ...]:
        return (data.text, data.label)

    def classes(self, splits: rows.Splits, data: Data) -> tuple[str, ...]:
        return rows.classes(splits, data.label)

    def encode(self, table: rows.Table, tokenizer: Any, data: Data, classes: Sequence[str]) -> list[Example]:
        texts = list(table.column(data.text))
        tokens = tokenizer(texts, truncation=True, max_length=data.max_length)["input_ids"]
        indices = {name: index for index, name in enumerate(classes)}
        labels = table.column(data.label)
        return [Example(row, indices[label]) for row, label in zip(tokens, labels, strict=True)]

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        sequences = [example.tokens for example in examples]
        inputs = {
            "input_ids": pad(sequences, tokenizer.pad_token_id),
            "attention_mask": pad([[1] * len(sequence) for sequence in sequences], 0),
        }
        return Batch(inputs, tensor([example.label for example in examples]))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, reduction="none")

    def scores(
        self, logits: Tensor, labels: Tensor, classes: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        return metrics.scores(logits, labels, classes)
