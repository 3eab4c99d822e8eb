"""Draws the images of the shipped study `shapes`: four kinds of shapes, each turned, coloured and placed by chance."""

from __future__ import annotations

import io
import math
import sys
import zipfile
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageDraw

SIDE, FINER, OF_EACH = 32, 4, 60
SHAPES = ("cross", "disc", "ring", "triangle")


def main() -> None:
    """`python -m bench.shapes FILE` writes the archive, always the same."""
    draw = Random(7)  # noqa: S311 - drawings, no secrets
    with zipfile.ZipFile(Path(sys.argv[1]), "w", zipfile.ZIP_STORED) as archive:
        for shape in SHAPES:
            for number in range(OF_EACH):
                stamp = zipfile.ZipInfo(f"shapes/{shape}/{number:02}.png")  # without the time of day
                archive.writestr(stamp, png(drawn(shape, draw)))


def drawn(shape: str, draw: Random) -> Any:
    """An image of one shape in a dark colour on light paper, wherever it fits."""
    side = SIDE * FINER
    paper, ink = (tuple(draw.randrange(low, low + 80) for _ in range(3)) for low in (170, 20))
    image = Image.new("RGB", (side, side), paper)
    size = draw.uniform(0.25, 0.42) * side
    x, y = draw.uniform(size, side - size), draw.uniform(size, side - size)
    paint(ImageDraw.Draw(image), shape, (x, y, size, draw.uniform(0, 2 * math.pi)), ink)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def paint(pen: Any, shape: str, place: tuple[float, float, float, float], ink: tuple[int, ...]) -> None:
    """Draws a shape around a point, of a size, turned by an angle."""
    x, y, size, angle = place
    box = (x - size, y - size, x + size, y + size)
    if shape == "disc":
        pen.ellipse(box, fill=ink)
    elif shape == "ring":
        pen.ellipse(box, outline=ink, width=round(0.3 * size))
    elif shape == "triangle":
        pen.polygon([_around(x, y, size, angle + corner * 2 * math.pi / 3) for corner in range(3)], fill=ink)
    else:
        for turned in (angle, angle + math.pi / 2):
            ends = [_around(x, y, size, turned), _around(x, y, size, turned + math.pi)]
            pen.line(ends, fill=ink, width=round(0.4 * size))


def _around(x: float, y: float, far: float, angle: float) -> tuple[float, float]:
    return x + far * math.cos(angle), y + far * math.sin(angle)


def png(image: Any) -> bytes:
    """The image as a file of its own."""
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


if __name__ == "__main__":
    main()
