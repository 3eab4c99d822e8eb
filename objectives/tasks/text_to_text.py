"""A text for each text, by an encoder-decoder: its translation, or its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from objectives import metrics, settings
from objectives.batches import UNLABELLED, Batch, Example, pad, texts
from objectives.data import Table
from objectives.measures import OF_KIND
from objectives.settings import Data
from objectives.tasks.texts import Told, loss_of_tokens
from objectives.tokenized import Reader
from objectives.writing import written


@dataclass(frozen=True)
class Reference:
    """What should be written, and what makes text of the tokens that were."""

    text: str
    tokenizer: Any


@dataclass(frozen=True)
class TextToText:
    """Reads `task.prefix` and the column `data.text`, and writes the text in `data.label`.

    The loss is the mean over the tokens to write; what is scored is written token by token, as `task.generation` says.
    """

    settings: settings.Task
    head = "seq2seq-lm"
    loss = staticmethod(loss_of_tokens)

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        prefix = self.settings.prefix or ""
        read = reader([prefix + text for text in table.column(data.text)], max_length=data.max_length)
        references = table.column(data.label) if data.label in table.columns else [""] * len(table)
        wanted = reader.tokenizer(
            text_target=[*references], truncation=True, max_length=self.settings.max_target_length
        )["input_ids"]
        return [
            Example(tokens, label, len(label), about=Reference(text, reader.tokenizer))
            for tokens, label, text in zip(read.tokens, wanted, references, strict=True)
        ]

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        """Labels are an input, too: the model makes of them what its decoder reads."""
        labels = pad([example.label for example in examples], UNLABELLED)
        return Batch({**texts(examples, tokenizer.pad_token_id), "labels": labels}, labels)

    def answers(self, model: Any, batch: Batch, logits: Tensor) -> list[list[int]]:
        """The tokens that the model writes for each row, padded."""
        read = {
            name: tensor for name, tensor in batch.inputs.items() if name in ("input_ids", "attention_mask", "states")
        }
        return written(model, read, self.settings.generation, self.settings.max_target_length)

    def scores(
        self, answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        written = [text for text, _ in self.tell(answers, examples, targets)]
        return metrics.of_texts(written, [row.about.text for row in examples], OF_KIND[self.settings.kind]), {}

    def tell(
        self, answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]
    ) -> Iterator[Told]:
        for text in examples[0].about.tokenizer.batch_decode(answers, skip_special_tokens=True):
            yield text, None

    def chances(self, answers: Any) -> None:
        return None
