"""A tag for each word of a text: the names in it, the parts of speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from torch.nn.functional import cross_entropy

from objectives import entities, settings
from objectives.batches import UNLABELLED, Batch, Example, chunks, pad, texts
from objectives.data import Table
from objectives.errors import ModelError
from objectives.settings import Data
from objectives.tasks.texts import Told
from objectives.tokenized import Reader
from objectives.words import words_of

ROWS = 1000
"""Tokenized between two looks at what may end the trial."""


class Tagged(NamedTuple):
    """The tags of all words of a row, and the places of those that the model reads: others were cut off."""

    tags: Sequence[str]
    read: Sequence[int]


@dataclass(frozen=True)
class TokenClassification:
    """Reads the words in the column `data.text`, and predicts the tag of each in `data.label`.

    The first piece of a word stands for it. A word that is cut off counts as one that was said to be outside.
    """

    settings: settings.Task
    head = "token-classification"

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

    def loss(
        self, logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """The sum over the words that are read."""
        each = cross_entropy(
            logits.transpose(1, 2),
            labels,
            weight,
            ignore_index=UNLABELLED,
            reduction="none",
            label_smoothing=label_smoothing,
        )
        return each.sum(dim=1)

    def answers(self, _model: Any, batch: Batch, logits: Tensor) -> list[list[int]]:
        """The place of a tag for each word that is read."""
        chosen, there = logits.argmax(dim=2).cpu(), (batch.labels != UNLABELLED).cpu()
        return [row[mask].tolist() for row, mask in zip(chosen, there, strict=True)]

    def scores(
        self, answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        truth = [row.about.tags for row in examples]
        return entities.scores(truth, list(_told(answers, examples, targets)), targets), {}

    def tell(
        self, answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]
    ) -> Iterator[Told]:
        """The tags of a row, one for each word."""
        yield from ((tags, None) for tags in _told(answers, examples, targets))

    def chances(self, answers: Any) -> None:
        return None


def _told(answers: Sequence[Sequence[int]], examples: Sequence[Example], targets: Sequence[str]) -> Iterator[list[str]]:
    """The tags of all words of each row: outside where a word was not read."""
    for answer, row in zip(answers, examples, strict=True):
        found = dict(zip(row.about.read, answer, strict=True))
        yield [targets[found[word]] if word in found else entities.OUTSIDE for word in range(len(row.about.tags))]


def pieces(
    rows: Sequence[Sequence[str]], reader: Reader, max_length: int
) -> Iterator[tuple[list[int], list[int | None]]]:
    """The tokens of each row of words, cut at a length, and for each token the word that it begins, else None.

    Raises ModelError where the tokenizer cannot tell.
    """
    tokenizer = reader.tokenizer
    if not tokenizer.is_fast:
        raise ModelError("model.name: has no fast tokenizer, which tells the pieces of a word; take another model")
    _with_blanks(tokenizer)
    for some in chunks(range(len(rows)), ROWS):
        reader.heed()
        found = tokenizer(
            [[*rows[row]] for row in some], is_split_into_words=True, truncation=True, max_length=max_length
        )
        for place, tokens in enumerate(found["input_ids"]):
            words = found.word_ids(place)
            yield (
                tokens,
                [word if word != before else None for before, word in zip([None, *words], words, strict=False)],
            )


def _with_blanks(tokenizer: Any) -> None:
    """Let a tokenizer of bytes, as RoBERTa's, read each word as after a blank, as it stands in a text."""
    before = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(before, ByteLevel):
        before.add_prefix_space = True


def _example(tokens: list[int], begun: list[int | None], tags: Sequence[str], places: Mapping[str, int]) -> Example:
    labels = [UNLABELLED if word is None else places[tags[word]] for word in begun]
    read = [word for word in begun if word is not None]
    return Example(tokens, labels, items=len(read), about=Tagged(tags, read))
