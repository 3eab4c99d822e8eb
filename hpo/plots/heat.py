"""A picture of models by domains: a metric of each pair as a colour, with its interval."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hpo.intervals import Interval
from hpo.plots import draw, fonts, page, style

KIND = "domains"


def save(out: Path, metric: str, models: Sequence[str], domains: Sequence[str], cells: Sequence[Interval]) -> list[str]:
    """Draw a matrix into a .png, .svg or .html file, `cells` being model by model; lines to be said. Raises OSError."""
    found = fonts.choose("".join([*models, *domains]))
    is_png = out.suffix == ".png"  # whoever looks at the others has fonts of their own
    settings: Any = {**style.SETTINGS, "font.family": found.families}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        if not is_png:
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
        names = [[found.legible(name) if is_png else name for name in some] for some in (models, domains)]
        made = _picture(names[0], names[1], metric, cells)
        if out.suffix == ".html":
            title = f"{metric} of models by domains"
            out.write_text(page.document(title, page.figure("the test rows", KIND, draw.svg(made, KIND))), "utf-8")
        else:
            draw.save_one(made, KIND, out)
    return [fonts.notice(found.lacking)] if found.lacking and is_png else []


def _picture(models: Sequence[str], domains: Sequence[str], metric: str, cells: Sequence[Interval]) -> Figure:
    made = style.headed(f"{metric} of models by domains", ["95 % intervals over test rows"])
    axes = made.subplots()
    values = np.array([cell.mean for cell in cells]).reshape(len(models), len(domains))
    drawn = axes.imshow(values, cmap=style.COLOURS, aspect="auto")
    middle = (values.min() + values.max()) / 2
    for place, cell in enumerate(cells):
        row, column = divmod(place, len(domains))
        colour = "white" if cell.mean < middle else style.INK
        text = f"{cell.mean:.3f}\n{cell.low:.3f} to {cell.high:.3f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_yticks(range(len(models)), models, fontsize=12.5, color=style.INK)
    axes.set_xticks(range(len(domains)), domains, fontsize=12.5, color=style.INK)
    axes.set(xlabel="tested on", ylabel="trained by")
    axes.grid(visible=False)
    made.colorbar(drawn, ax=axes, label=metric)
    return made
