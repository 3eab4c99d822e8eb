"""Images as a model reads them: decoded and resized once, made numbers batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, from_numpy

from objectives import decoding, folders
from objectives.data import Table
from objectives.errors import DataError
from objectives.evaluation import Heed, unheeded

_PLAIN = {"do_rescale": False, "do_normalize": False, "include_top": False}
"""What an image processor is told to leave pixels as they are, in size alone as the model wants them."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What an image processor of transformers does, in two parts: to bytes of a file, and to pixels.

    What it makes of a pixel is `scale` times it and `shift`, each [channels, 1, 1].
    """

    processor: Any
    scale: Tensor
    shift: Tensor

    def pixels(self, file: bytes) -> Tensor:
        """An image of the size that the model wants: uint8 [channels, height, width]; ValueError where it is none."""
        plain = {name: value for name, value in _PLAIN.items() if hasattr(self.processor, name)}
        found = self.processor(decoding.decoded(file), return_tensors="np", **plain)["pixel_values"][0]
        return from_numpy(numpy.ascontiguousarray(found.clip(0, 255).round().astype("uint8")))

    def numbers(self, images: Sequence[Tensor]) -> Tensor:
        """What the model's forward takes: float32 [rows, channels, height, width]."""
        return torch.stack([*images]).float() * self.scale + self.shift


def sight(processor: Any) -> Sight:
    """What a processor does, seen from what it makes of black and of white."""
    whole = {"do_resize": False, "do_center_crop": False, "return_tensors": "pt", "input_data_format": "channels_first"}
    ends = [processor(numpy.full((3, 8, 8), value, numpy.uint8), **whole)["pixel_values"][0] for value in (0, 255)]
    black, white = (end[:, :1, :1].double() for end in ends)
    return Sight(processor, ((white - black) / 255).float(), black.float())


def sizes(processor: Any, pixels: int) -> dict[str, Any]:
    """What a processor is to be loaded with for images of so many pixels a side; margins keep their share."""
    square = {"height": pixels, "width": pixels}
    size = {name: value for name, value in dict(processor.size).items() if value}
    if getattr(processor, "crop_pct", None) is not None:  # ConvNeXt's cuts a square whatever the size
        return {"size": {"shortest_edge": pixels}}
    if not processor.do_center_crop:
        return {"size": square}
    grown = pixels / processor.crop_size["height"]
    return {"size": {name: round(value * grown) for name, value in size.items()}, "crop_size": square}


def read(table: Table, column: str, sight: Sight, heed: Heed = unheeded) -> list[Tensor]:
    """The pixels of each row's image, all of one size; raises DataError, and what `heed` raises."""
    found: list[Tensor] = []
    for row, file in enumerate(folders.images(table, column, "data.text")):
        heed()
        name = folders.named(table, row, table.column(column)[row])
        try:
            found.append(sight.pixels(file))
        except decoding.UNREADABLE as error:
            raise DataError("data.text", f"{name}: {decoding.why_not(error)}") from None
        if found[-1].shape != found[0].shape:
            seen = f"{_said(found[-1])} pixels as the model's processor leaves it, {_said(found[0])} those before"
            raise DataError("data.image_size", f"{name}: has {seen}; right is one size, such as 224")
    return found


def varied(images: Tensor, augmentation: str) -> Tensor:
    """Images [rows, channels, height, width], each mirrored by chance or shifted, its edges drawn out.

    Draws from torch's generator of the CPU, row by row: the same whatever device they are on, and whether they come at
    once or in parts.
    """
    draws = torch.rand(len(images), 3)
    if "flip" in augmentation:
        images = torch.where((draws[:, 0] < 0.5).to(images.device)[:, None, None, None], images.flip(-1), images)
    return _shifted(images, draws[:, 1:]) if "crop" in augmentation else images


def _shifted(images: Tensor, draws: Tensor) -> Tensor:
    """Each image moved by up to an eighth of its sides, as draws [rows, 2] between 0 and 1 have it."""
    rows, _, height, width = images.shape
    most = torch.tensor([height // 8, width // 8])
    shifts = (draws * (2 * most + 1)).long() - most
    down, right = shifts[:, :1], shifts[:, 1:]
    ys = (torch.arange(height) + down).clamp(0, height - 1).to(images.device)
    xs = (torch.arange(width) + right).clamp(0, width - 1).to(images.device)
    row = torch.arange(rows, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[row, ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _said(image: Tensor) -> str:
    return " x ".join(map(str, image.shape[1:]))
