"""The kinds of tasks: what a trial asks of each, and all there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from objectives import settings
from objectives.batches import Batch, Example
from objectives.data import Table
from objectives.settings import Data
from objectives.tasks.fill_mask import FillMask
from objectives.tasks.image_classification import ImageClassification
from objectives.tasks.multi_label_classification import MultiLabelClassification
from objectives.tasks.question_answering import QuestionAnswering
from objectives.tasks.text_classification import TextClassification
from objectives.tasks.text_generation import TextGeneration
from objectives.tasks.text_regression import TextRegression
from objectives.tasks.text_to_text import TextToText
from objectives.tasks.texts import Told
from objectives.tasks.token_classification import TokenClassification
from objectives.tokenized import Reader


class Task(Protocol):
    """How rows become batches, what stands on top of the model, and how well it does."""

    @property
    def head(self) -> str:
        """What the model ends in: a key of `models.HEADS`."""

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        """The rows as the model reads them: texts cut at `data.max_length` tokens, not padded, or images of one size.

        Without the column to predict, as rows to label come, their labels mean nothing.
        """

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        """A batch, padded to its longest row; `tokenizer` is what reads rows of this kind."""

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """The loss of each row [rows], the sum over its items; plain without smoothing and weights of the classes."""

    def answers(self, model: Any, batch: Batch, logits: Tensor) -> Sequence[Any] | Tensor:
        """What is kept of a batch to be scored, row by row, on the CPU."""

    def scores(
        self, answers: Any, examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        """Metrics over all rows, and details ready for JSON."""

    def tell(self, answers: Any, examples: Sequence[Example], targets: Sequence[str]) -> Iterable[Told]:
        """What it says of each row to a person."""

    def chances(self, answers: Any) -> Tensor | None:
        """The probability of each class [rows, classes], where each row has one; else None."""


@runtime_checkable
class Redraws(Protocol):
    """A task whose rows differ each time they are trained on, so that nothing computed of them is kept."""

    def redraw(self, batch: Batch, tokenizer: Any) -> Batch:
        """Another batch of the same rows, drawn by torch's generator."""


TASKS: dict[str, Callable[[settings.Task], Task]] = {
    "text-classification": TextClassification,
    "multi-label-classification": MultiLabelClassification,
    "text-regression": TextRegression,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
    "translation": TextToText,
    "summarization": TextToText,
    "text-generation": TextGeneration,
    "fill-mask": FillMask,
    "image-classification": ImageClassification,
}


def of(task: settings.Task) -> Task:
    """The task that these settings describe."""
    return TASKS[task.kind](task)
