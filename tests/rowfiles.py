"""Files of rows for every kind of task, written to the folder that a test stands in."""

from __future__ import annotations

import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROWS = 60
WORDS = ("river", "stone", "ferry", "lamp", "north", "bread", "clock", "field", "glass", "horse", "paper", "salt")


def said(seed: int, count: int = 9) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(count)) + f" {seed}"


def table(**columns: Callable[[int], Any]) -> str:
    """Rows as JSON lines, which keep lists, in a file."""
    rows = [{name: column(row) for name, column in columns.items()} for row in range(ROWS)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "rows.jsonl"


def conll(tags: Sequence[str] = ("B-PER", "I-PER", "O", "B-LOC")) -> str:
    sentences = [
        "".join(f"{WORDS[(row + at) % 12]}{row} {tag}\n" for at, tag in enumerate(tags)) for row in range(ROWS)
    ]
    Path("rows.conll").write_text("\n".join(sentences))
    return "rows.conll"


def squad() -> str:
    """Three questions about each text, the last of which it does not answer."""
    paragraphs = []
    for number in range(20):
        context = f"The {WORDS[number % 12]} of house {number} was made in {1900 + number} by hand."
        start = context.index("19")
        answers: list[list[dict[str, Any]]] = [
            [{"text": context[start : start + 4], "answer_start": start}],
            [{"text": "by hand", "answer_start": context.index("by hand")}],
            [],
        ]
        asked = [
            {"id": f"{number}-{at}", "question": f"What {at} of house {number}?", "answers": found}
            for at, found in enumerate(answers)
        ]
        paragraphs.append({"context": context, "qas": asked})
    Path("rows.json").write_text(json.dumps({"data": [{"title": "Houses", "paragraphs": paragraphs}]}, indent=1))
    return "rows.json"


def png(shade: int) -> bytes:
    """A grey image of one pixel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, shade]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def folder() -> str:
    for row in range(ROWS):
        path = Path("shades", ("dark", "light")[row % 2], f"{row}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(row))
    return "shades"


def archive() -> str:
    with zipfile.ZipFile("shades.zip", "w") as made:
        for row in range(ROWS):
            made.writestr(f"{('dark', 'light')[row % 2]}/{row}.png", png(row))
    return "shades.zip"


def listed() -> str:
    folder()
    rows = [f"shades/{('dark', 'light')[row % 2]}/{row}.png,{'ab'[row % 2]}\n" for row in range(ROWS)]
    Path("images.csv").write_text("image,shade\n" + "".join(rows))
    return "images.csv"


def number(row: int) -> float:
    return round(random.Random(row).uniform(1, 5), 5)


def classes(row: int) -> str:
    return "abc"[row % 3]


TEXT = {"text": said}
PAIR = {"premise": lambda row: said(row // 3), "hypothesis": lambda row: said(row + 100, 5)}
