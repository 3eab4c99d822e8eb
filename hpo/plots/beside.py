"""A picture of models side by side: a metric of each with its interval."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from hpo.intervals import Interval
from hpo.plots import draw, fonts, page, style
from hpo.tables import shown

KIND = "compare"


@dataclass(frozen=True)
class Entry:
    """One of them: its name, its metric, and whether it is a simple rule."""

    name: str
    value: Interval
    is_rule: bool


def save(out: Path, metric: str, rows: int, entries: Sequence[Entry]) -> list[str]:
    """Draw them into a .png, .svg or .html file, the first one on top; lines to be said. Raises OSError."""
    found = fonts.choose("".join(entry.name for entry in entries))
    is_png = out.suffix == ".png"  # whoever looks at the others has fonts of their own
    said = [fonts.notice(found.lacking)] if found.lacking and is_png else []
    settings: Any = {**style.SETTINGS, "font.family": found.families}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        if not is_png:
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
        names = [found.legible(entry.name) if is_png else entry.name for entry in entries]
        made = _picture(names, entries, metric, rows)
        if out.suffix == ".html":
            picture = page.figure("the test rows", KIND, draw.svg(made, KIND))
            out.write_text(page.document(f"{metric} on the test rows", picture), "utf-8")
        else:
            draw.save_one(made, KIND, out)
    return said


def _picture(names: Sequence[str], entries: Sequence[Entry], metric: str, rows: int) -> Figure:
    made = style.headed(f"{metric} on the test rows", [f"{rows} rows", "95 % intervals over rows and seeds"])
    axes = made.subplots()
    for kind, mark in (("tuned", style.MARKS["COMPLETE"]), ("rule", style.MARKS["PRUNED"])):
        at = [place for place, entry in enumerate(entries) if entry.is_rule == (kind == "rule")]
        if not at:
            continue
        values = [entries[place].value for place in at]
        ends = [(value.low, value.high) for value in values]
        axes.hlines(at, *zip(*ends, strict=True), color=mark.colour, linewidth=2.5)
        style.points(axes, mark, [value.mean for value in values], at)
    for place, entry in enumerate(entries):
        axes.annotate(
            shown(round(entry.value.mean, 3)),
            (entry.value.mean, place),
            (0, 10),
            textcoords="offset points",
            ha="center",
        )
    axes.set_yticks(range(len(entries)), names, fontsize=12.5, color=style.INK)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.set_xlabel(metric)
    axes.grid(visible=False, axis="y")
    return made
