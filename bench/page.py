"""Pages of results: a table put into the section that it is of, and the interval of a share."""

from __future__ import annotations

import math
import re
from pathlib import Path


def put(file: Path, heading: str, table: str) -> None:
    """Replace the first table of the section under `## heading`; ValueError where there is none."""
    text = file.read_text("utf-8")
    begins = text.index(f"## {heading}\n")
    found = re.compile(r"^\|.*(?:\n\|.*)*", re.MULTILINE).search(text, begins)
    if found is None or "\n## " in text[begins + 1 : found.start()]:
        raise ValueError(f"{file}: there is no table under {heading}")
    file.write_text(text[: found.start()] + table + text[found.end() :], "utf-8")


def interval(share: float, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many rows (Wilson, 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return middle - half, middle + half
