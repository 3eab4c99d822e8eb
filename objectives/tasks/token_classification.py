"""A tag for each word of a text: the names in it, the parts of speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from objectives import entities, settings
from objectives.batches import UNLABELLED, Batch, Example, pad, texts
from objectives.data import Table
from objectives.entities import Tagged
from objectives.pieces import pieces
from objectives.settings import Data
from objectives.tasks.texts import Told, loss_of_tokens
from objectives.tokenized import Reader
from objectives.words import words_of


@dataclass(frozen=True)
class TokenClassification:
    """Reads the words in the column `data.text`, and predicts the tag of each in `data.label`.

    The first piece of a word stands for it. A word that is cut off counts as one that was said to be outside.
    """

    settings: settings.Task
    head = "token-classification"
    loss = staticmethod(loss_of_tokens)

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        places = {name: index for index, name in enumerate(targets)}
        words = list(map(words_of, table.column(data.text)))
        known = data.label in table.columns
        tags = map(words_of, table.column(data.label)) if known else [[targets[0]] * len(row) for row in words]
        return [
            _example(*row, given, places)
            for row, given in zip(pieces(words, reader, data.max_length), tags, strict=True)
        ]

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        labels = pad([example.label for example in examples], UNLABELLED)
        return Batch(texts(examples, tokenizer.pad_token_id), labels)

    def answers(self, _model: Any, batch: Batch, logits: Tensor) -> list[list[int]]:
        """The place of a tag for each word that is read."""
        chosen, there = logits.argmax(dim=2).cpu(), (batch.labels != UNLABELLED).cpu()
        return [row[mask].tolist() for row, mask in zip(chosen, there, strict=True)]

    def scores(
        self, answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        said = [tags for tags, _ in self.tell(answers, examples, targets)]
        return entities.scores([row.about.tags for row in examples], said, targets), {}

    def tell(
        self, answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]
    ) -> Iterator[Told]:
        """The tags of a row, one for each word."""
        for answer, row in zip(answers, examples, strict=True):
            yield row.about.told([targets[place] for place in answer]), None

    def chances(self, answers: Any) -> None:
        return None


def _example(tokens: list[int], begun: list[int | None], tags: Sequence[str], places: Mapping[str, int]) -> Example:
    labels = [UNLABELLED if word is None else places[tags[word]] for word in begun]
    read = [word for word in begun if word is not None]
    return Example(tokens, labels, items=len(read), about=Tagged(tags, read))
