"""Images decoded, and those of a table named that cannot be; no torch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from objectives import folders
from objectives.errors import DataError, ModelError
from objectives.tables import Table

UNREADABLE = (OSError, ValueError, SyntaxError, NotImplementedError)
"""What Pillow and image processors raise where a file is no image for them."""

_LISTED = 8


def decoded(file: bytes) -> Any:
    """Upright and in colour, as a pipeline of transformers has it; ValueError where that would not be the image."""
    image, image_ops = _pillow()
    try:
        with image.open(io.BytesIO(file)) as found:
            upright = image_ops.exif_transpose(found)
    except image.DecompressionBombError:
        raise ValueError(f"it has more than {2 * image.MAX_IMAGE_PIXELS:,} pixels: make it smaller") from None
    if upright.mode == "F" or (upright.mode.startswith("I") and upright.getextrema()[1] > 255):
        raise ValueError("its greys have more than 8 bits, which would turn white or black: make them 8")
    return upright.convert("RGB")


def why_not(error: Exception) -> str:
    """What is said of an image that cannot be read."""
    why = str(error).partition("<")[0].strip() or type(error).__name__
    return f"is no image that can be read ({why}); right is PNG or JPEG"


def check(table: Table, column: str, key: str) -> None:
    """Decode each image of a table; raises DataError naming `key`, with the first that cannot be, and how many more."""
    if not (found := [*_bad(table, column, key)]):
        return
    (name, why), *more = found
    said = f"; nor can {len(more)} more be read: {', '.join(name for name, _ in more[:_LISTED])}" if more else ""
    raise DataError(key, f"{name}: {why}{said}{', ...' if len(more) > _LISTED else ''}")


def _bad(table: Table, column: str, key: str) -> Iterator[tuple[str, str]]:
    cells = table.column(column)
    for row, file in enumerate(folders.each(table, column, key)):
        why = file if isinstance(file, str) else None
        if isinstance(file, bytes):
            try:
                decoded(file)
            except UNREADABLE as error:
                why = why_not(error)
        if why:
            yield folders.named(table, row, cells[row]), why


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ModelError("task: images need the package Pillow; pip install pillow") from None
    return Image, ImageOps
