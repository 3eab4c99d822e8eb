"""One class for each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import tensor

from objectives import images
from objectives.batches import Batch, Example
from objectives.data import Table
from objectives.settings import Data
from objectives.tasks.text_classification import TextClassification
from objectives.tokenized import Reader


@dataclass(frozen=True)
class ImageClassification(TextClassification):
    """Reads the images that the column `data.text` names, and predicts the class in `data.label`.

    Of each row the pixels are kept, a byte each.
    """

    head = "image-classification"

    def encode(self, table: Table, reader: Reader, data: Data, targets: Sequence[str]) -> list[Example]:
        places = {name: index for index, name in enumerate(targets)}
        known = data.label in table.columns
        labels = [places[cell] for cell in table.column(data.label)] if known else [0] * len(table)
        pixels = images.read(table, data.text, reader.tokenizer, reader.heed)
        return [Example((), label, about=image) for label, image in zip(labels, pixels, strict=True)]

    @staticmethod
    def collate(examples: Sequence[Example], tokenizer: Any) -> Batch:
        """A batch of images, as the model's processor makes them numbers."""
        pixels = tokenizer.numbers([example.about for example in examples])
        return Batch({"pixel_values": pixels}, tensor([example.label for example in examples]))
