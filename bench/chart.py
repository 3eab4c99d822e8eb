"""The comparison as a picture: CPU seconds of a trial by how many blocks are frozen."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from bench.standing import NAMES, Found

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"trainer": "#9aa5b1", "plain": "#cbd2d9", "hpo": "#2563eb"}


def draw(found: Found, path: Path) -> None:
    """Bars for each contender and depth, and how many times as fast as the Trainer ours is."""
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(COLOURS)
    for place, (what, colour) in enumerate(COLOURS.items()):
        heights = [found.cpu(what, depth) or 0.0 for depth in found.depths]
        spots = [index + (place - 1) * width for index in range(len(found.depths))]
        axes.bar(spots, heights, width * 0.94, color=colour, label=NAMES[what].strip("`"))
    for index, depth in enumerate(found.depths):
        theirs, ours = found.cpu("trainer", depth), found.cpu("hpo", depth)
        if theirs and ours:
            axes.annotate(f"{theirs / ours:.3g}x", (index + width, ours), ha="center", va="bottom", fontweight="bold")
    axes.set_xticks(range(len(found.depths)), [f"{depth} of 6 blocks frozen" for depth in found.depths])
    axes.set_ylabel("CPU s, training and evaluation")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
