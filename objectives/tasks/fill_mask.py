"""Masked tokens of texts without labels, so that an encoder gets to know them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from objectives import masking, metrics, settings
from objectives.batches import UNLABELLED, Batch, Example, texts
from objectives.data import Table
from objectives.errors import ModelError
from objectives.settings import Data
from objectives.tasks.texts import Told, loss_of_tokens, perplexities
from objectives.tokenized import Reader


@dataclass(frozen=True)
class FillMask:
    """Reads the column `data.text` and tells the tokens of `task.mask_share`, as BERT was made (arXiv 1810.04805).

    Of these 80 % are masked, 10 % another token, 10 % as they are. They follow from the row alone where it is looked
    at, and are drawn anew where it is trained on.
    """

    settings: settings.Task
    head = "masked-lm"
    loss = staticmethod(loss_of_tokens)

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        if reader.tokenizer.mask_token_id is None:
            raise ModelError("model.name: its tokenizer has no token that masks; right is an encoder such as bert-base")
        special = {*reader.tokenizer.all_special_ids}
        read = reader(table.column(data.text), max_length=data.max_length)
        return [Example(tokens, 0, self._count(tokens, special)) for tokens in read.tokens]

    def _count(self, tokens: Sequence[int], special: set[int]) -> int:
        """How many of a row are to be told: one at least, where there is one."""
        plain = sum(token not in special for token in tokens)
        return min(plain, max(1, round(self.settings.mask_share * plain)))

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        inputs, counts = texts(examples, tokenizer.pad_token_id), torch.tensor([row.items for row in examples])
        draws = [masking.own(row.tokens) for row in examples]
        tokens, labels = masking.masked(inputs["input_ids"], counts, tokenizer, draws)
        return Batch({**inputs, "input_ids": tokens}, labels)

    def redraw(self, batch: Batch, tokenizer: Any) -> Batch:
        told = batch.labels != UNLABELLED
        whole = torch.where(told, batch.labels, batch.inputs["input_ids"])
        tokens, labels = masking.masked(whole, told.sum(dim=1), tokenizer, masking.anew(len(whole)))
        return Batch({**batch.inputs, "input_ids": tokens}, labels)

    def answers(self, model: Any, batch: Batch, logits: Tensor) -> Tensor:
        """The loss of each row, and how many of its tokens are told rightly [rows, 2]."""
        right = (logits.argmax(dim=2) == batch.labels).sum(dim=1)
        return torch.stack([self.loss(logits, batch.labels), right.float()], dim=1).cpu()

    def scores(
        self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]
    ) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        items = sum(row.items for row in examples)
        return {
            "perplexity": metrics.perplexity(answers[:, 0], items),
            "accuracy": answers[:, 1].sum().item() / items,
        }, {}

    def tell(self, answers: Tensor, examples: Sequence[Example], targets: Sequence[str]) -> Iterator[Told]:
        """How perplexed it is by the masked tokens of each text."""
        return perplexities(answers[:, 0], examples)

    def chances(self, answers: Any) -> None:
        return None
