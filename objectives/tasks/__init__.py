"""The kinds of tasks: what a trial asks of each, and all there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from objectives.batches import Batch, Example
from objectives.data import Splits, Table
from objectives.settings import Data
from objectives.tasks.text_classification import TextClassification


class Task(Protocol):
    """How rows become batches, what stands on top of the model, and how well it does."""

    @property
    def head(self) -> str:
        """What the model ends in: a key of `models.HEADS`."""

    def columns(self, data: Data) -> tuple[str, ...]:
        """The columns it reads."""

    def classes(self, splits: Splits, data: Data) -> tuple[str, ...]:
        """What there is to predict, in the order of the logits; raises DataError."""

    def encode(self, table: Table, tokenizer: Any, data: Data, classes: Sequence[str]) -> list[Example]:
        """The rows as the model reads them, cut at `data.max_length` tokens, not padded."""

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        """A batch, padded to its longest row."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The plain loss of each row [rows], in nats: no smoothing, no weights."""

    def scores(
        self, logits: Tensor, labels: Tensor, classes: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        """Metrics over all rows, and details ready for JSON."""


TASKS: dict[str, Task] = {
    "text-classification": TextClassification(),
}
