"""Any number of classes for each text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from objectives import metrics, settings
from objectives.batches import Example
from objectives.data import Table
from objectives.labels import classes_of
from objectives.settings import Data
from objectives.tasks import texts
from objectives.tasks.texts import Told
from objectives.tokenized import Reader


@dataclass(frozen=True)
class MultiLabelClassification:
    """Reads the column `data.text`, with `data.pair` beside it, and predicts the classes listed in `data.label`."""

    settings: settings.Task
    head = "multi-label-classification"
    collate = staticmethod(texts.collate)
    answers = staticmethod(texts.logits)

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        def several(cell: str) -> list[float]:
            found = classes_of(cell)
            return [float(name in found) for name in targets]

        return texts.encode(table, reader, data, several)

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """The mean over the classes, as transformers has it; smoothing draws each towards a half."""
        smoothed = labels * (1 - label_smoothing) + label_smoothing / 2
        return binary_cross_entropy_with_logits(logits, smoothed, reduction="none").mean(dim=1)

    def scores(
        self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        return metrics.of_several(answers, tensor([row.label for row in examples]).long(), targets), {}

    def tell(self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]) -> Iterator[Told]:
        """The classes of a row; nothing says how probable all of them together are."""
        for row in (answers > 0).tolist():
            yield [name for name, there in zip(targets, row, strict=True) if there], None

    def chances(self, answers: Tensor) -> None:
        return None
