"""A few drawn images by class, and a study of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from objectives import settings, sources, transfer


def draw(folder: Path) -> Path:
    """A folder of two classes with six images each, of different sizes and modes."""
    for name, value in (("dark", 40), ("light", 210)):
        (folder / name).mkdir(parents=True)
        for number, mode in enumerate(("RGB", "L", "RGBA", "P", "1", "LA")):
            Image.new("L", (20 + number, 14), value + number).convert(mode).save(folder / name / f"{number}.png")
    return folder


def study(path: Path, checkpoint: Path, **data: Any) -> Any:
    """The settings of an objective on the images at a path."""
    return settings.parse(
        {"task": "image-classification", "model": str(checkpoint), "data": {"path": str(path), **data}}
    )


def read(chosen: Any) -> transfer.Rows:
    """The rows of such a study, as its model reads them."""
    return transfer.read(chosen, sources.find(chosen.model))
