"""One class for each text, or for each pair of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, tensor
from torch.nn.functional import cross_entropy

from objectives import metrics, settings
from objectives.batches import Example
from objectives.data import Table
from objectives.settings import Data
from objectives.tasks import texts
from objectives.tasks.texts import Told
from objectives.tokenized import Reader


@dataclass(frozen=True)
class TextClassification:
    """Reads the column `data.text`, with `data.pair` beside it, and predicts the class in `data.label`."""

    settings: settings.Task
    head = "sequence-classification"
    collate = staticmethod(texts.collate)
    answers = staticmethod(texts.logits)

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        places = {name: index for index, name in enumerate(targets)}
        return texts.encode(table, reader, data, places.__getitem__)

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        return cross_entropy(logits, labels, weight, reduction="none", label_smoothing=label_smoothing)

    def scores(
        self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        return metrics.scores(answers, tensor([row.label for row in examples]), targets)

    def tell(self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]) -> Iterator[Told]:
        for probability, place in zip(*(part.tolist() for part in self.chances(answers).max(dim=1)), strict=True):
            yield targets[place], probability

    def chances(self, answers: Tensor) -> Tensor:
        return answers.double().softmax(dim=1)
