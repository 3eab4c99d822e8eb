"""Text that goes on, by a decoder: any text, or answers to instructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor

from objectives import metrics, settings
from objectives.batches import UNLABELLED, Batch, Example, chunks, pad, texts
from objectives.data import Table
from objectives.errors import DataError
from objectives.instructions import answered, ended, example
from objectives.settings import Data
from objectives.tasks.texts import Told, loss_of_tokens, perplexities
from objectives.tokenized import Reader

WHOLE = 10**9
"""Tokens that no text has: nothing is cut off."""


@dataclass(frozen=True)
class TextGeneration:
    """Learns each token of the column `data.text` from those before it; with `data.label`, of this column's alone.

    The text and its answer then stand on lines of their own. With `task.packing` texts follow one another in rows of
    `data.max_length` tokens, whose tokens see all before them.
    """

    settings: settings.Task
    head = "causal-lm"

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        instructs = data.label in table.columns
        if instructs and self.settings.packing:
            raise DataError("task.packing", f"rows with answers in column {data.label!r} are not packed; remove one")
        if instructs:
            return answered(table, reader, data)
        end = reader.tokenizer.eos_token_id
        read = reader(table.column(data.text), max_length=WHOLE if self.settings.packing else data.max_length)
        rows = [ended(list(tokens), end) for tokens in read.tokens]
        if end is not None:  # also what ends at once is learned, and told of
            rows = [row if len(row) > 1 else [*row, end] for row in rows]
        if self.settings.packing:
            rows = [list(block) for block in chunks(list(chain.from_iterable(rows)), data.max_length)]
        return [example(row[: data.max_length], 1) for row in rows if len(row) > 1]

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        labels = pad([example.label for example in examples], UNLABELLED)
        return Batch(texts(examples, tokenizer.pad_token_id), labels)

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """Of what each token's logits say of the next."""
        return loss_of_tokens(logits[:, :-1], labels[:, 1:], label_smoothing=label_smoothing)

    def answers(self, model: Any, batch: Batch, logits: Tensor) -> Tensor:
        """The loss of each row."""
        return self.loss(logits, batch.labels).cpu()

    def scores(
        self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        return {"perplexity": metrics.perplexity(answers, sum(row.items for row in examples))}, {}

    def tell(self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]) -> Iterator[Told]:
        """How perplexed it is by each text."""
        return perplexities(answers, examples)

    def chances(self, answers: Any) -> None:
        return None
