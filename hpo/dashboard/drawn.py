"""A trial's learning curve and confusion matrix as SVG, without script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from hpo.tables import shown

WIDTH, HEIGHT, EDGE = 640, 400, 60
BLUE, ORANGE = "#0072B2", "#E69F00"  # of the palette of Okabe and Ito (2008)
LINES = {"val_loss": BLUE, "train_loss": ORANGE}
LONG = 22  # letters of a label that there is room for


def curve(rows: Sequence[Mapping[str, Any]]) -> str:
    """Validation and training loss over the epochs."""
    lines = {name: _points(rows, name) for name in LINES}
    points = [point for line in lines.values() for point in line]
    if not points:
        return _svg(WIDTH, HEIGHT, [_text(WIDTH / 2, HEIGHT / 2, "no loss was finite")])
    low, high = min(y for _, y in points), max(y for _, y in points)
    last = max(x for x, _ in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        share = (y - low) / (high - low) if high > low else 0.5
        return EDGE + x / last * (WIDTH - 2 * EDGE), HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE)

    parts = [_text(WIDTH / 2, HEIGHT - 18, "epoch"), _text(WIDTH - EDGE, HEIGHT - EDGE + 20, shown(last))]
    parts += [_text(EDGE / 2, place(0, y)[1] + 4, shown(y)) for y in {low, high}]
    for at, (name, line) in enumerate(lines.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{LINES[name]}" stroke-width="2"/>')
        parts.append(_text(WIDTH / 2 - 60 + 120 * at, 28, name, LINES[name]))
    return _svg(WIDTH, HEIGHT, parts)


def matrix(found: Mapping[str, Any]) -> str:
    """How many rows of each true class (down) were taken for which class (across)."""
    labels, rows = [str(label)[:LONG] for label in found["labels"]], found["rows"]
    cell, left, top = 56, 190, 60
    parts = [_text(left + cell * len(labels) / 2, 24, "predicted")]
    most = max((value for row in rows for value in row), default=0) or 1
    for down, (label, row) in enumerate(zip(labels, rows, strict=True)):
        y = top + down * cell
        parts.append(_text(left - 8, y + cell / 2 + 4, label, anchor="end"))
        parts.append(_text(left + (down + 0.5) * cell, top - 8, label[:8]))
        for across, value in enumerate(row):
            x, ink = left + across * cell, "#ffffff" if value > most / 2 else "#222222"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="{BLUE}" '
                f'fill-opacity="{value / most:.2f}" stroke="#dddddd"/>'
            )
            parts.append(_text(x + cell / 2, y + cell / 2 + 4, str(value), ink))
    return _svg(left + cell * len(labels) + 20, top + cell * len(labels) + 20, parts)


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    found = ((row["epoch"], row["metrics"].get(name)) for row in rows)
    return [(x, y) for x, y in found if isinstance(y, int | float) and math.isfinite(y)]


def _text(x: float, y: float, said: str, colour: str = "#222222", anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" text-anchor="{anchor}">{escape(said)}</text>'


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>'
    )
