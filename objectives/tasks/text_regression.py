"""A number for each text or pair of texts, such as how alike the two are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, tensor
from torch.nn.functional import mse_loss

from objectives import metrics, settings
from objectives.batches import Example
from objectives.data import Table
from objectives.labels import number
from objectives.settings import Data
from objectives.tasks import texts
from objectives.tasks.texts import Told
from objectives.tokenized import Reader


@dataclass(frozen=True)
class TextRegression:
    """Reads the column `data.text`, with `data.pair` beside it, and predicts the number in `data.label`."""

    settings: settings.Task
    head = "sequence-regression"
    collate = staticmethod(texts.collate)
    answers = staticmethod(texts.logits)

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        return texts.encode(table, reader, data, number)

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """The square of the error."""
        return mse_loss(logits.squeeze(1), labels, reduction="none")

    def scores(
        self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        return metrics.of_numbers(answers.squeeze(1), tensor([row.label for row in examples])), {}

    def tell(self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]) -> Iterator[Told]:
        for value in answers.squeeze(1).tolist():
            yield value, None

    def chances(self, answers: Tensor) -> None:
        return None
