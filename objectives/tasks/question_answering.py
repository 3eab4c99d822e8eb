"""The answer to a question: a part of a text, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, tensor
from torch.nn.functional import cross_entropy

from objectives import metrics, settings
from objectives.answers import SPAN_OR_NONE, answers_of
from objectives.batches import Batch, Example, texts
from objectives.data import Table
from objectives.settings import Data
from objectives.spans import Asked, told
from objectives.tasks.texts import Told
from objectives.tokenized import Reader
from objectives.windows import Window, windows


@dataclass(frozen=True)
class QuestionAnswering:
    """Reads the question in `data.text` and the text in `data.pair`, and finds the answer in `data.label`.

    A text that is longer than a window is read in several, an example each. The first token stands for no answer.
    """

    settings: settings.Task
    head = "question-answering"

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        contexts = table.column(data.pair or "")
        labels = table.columns.get(data.label) or [""] * len(table)

        def example(window: Window) -> Example:
            answers = answers_of(labels[window.row], contexts[window.row])
            found = window.span(answers[0].start, answers[0].start + len(answers[0].text)) if answers else None
            asked = Asked(window.row, contexts[window.row], [one.text for one in answers], window.first, window.places)
            return Example(window.tokens, found or (0, 0), types=window.types, about=asked)

        questions, stride = table.column(data.text), self.settings.stride
        return list(map(example, windows(questions, contexts, reader, data.max_length, stride)))

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        """A batch, padded to its longest window; its labels are the answer's first and last token, and the length."""
        labels = tensor([(*example.label, len(example.tokens)) for example in examples])
        return Batch(texts(examples, tokenizer.pad_token_id), labels)

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """The mean of those of the first and the last token [windows], among the tokens that are no padding."""
        padding = torch.arange(logits.shape[1], device=logits.device) >= labels[:, 2:]
        told = logits.masked_fill(padding.unsqueeze(2), -torch.inf)
        return cross_entropy(told, labels[:, :2], reduction="none").mean(dim=1)

    def answers(self, _model: Any, batch: Batch, logits: Tensor) -> list[Tensor]:
        """The logits of each window [tokens, 2]."""
        return [row[:length] for row, length in zip(logits.cpu(), batch.labels[:, 2].tolist(), strict=True)]

    def scores(
        self, answers: Sequence[Tensor], examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        said = self._told(answers, examples, targets)
        truth = {example.about.row: example.about.answers for example in examples}
        return metrics.of_answers([said[row] for row in truth], list(truth.values())), {}

    def tell(self, answers: Sequence[Tensor], examples: Sequence[Example], targets: Sequence[str]) -> Iterator[Told]:
        """The answer to each question, in the order of the rows; empty where it has none."""
        said = self._told(answers, examples, targets)
        yield from ((said[row], None) for row in sorted(said))

    def _told(self, answers: Sequence[Tensor], examples: Sequence[Example], targets: Sequence[str]) -> dict[int, str]:
        return told(answers, [row.about for row in examples], self.settings, tuple(targets) == SPAN_OR_NONE)

    def chances(self, answers: Any) -> None:
        return None
