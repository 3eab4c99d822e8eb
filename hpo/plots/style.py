"""How all pictures look: size, colours that everybody can tell apart, marks, titles, scales."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ticks
from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from hpo.plots.story import Axis, Row, Story
from hpo.tables import shown

SIZE, DPI = (12.0, 7.0), 100  # inches, pixels an inch: 1200 x 700
INK, QUIET, LINES = "#222222", "#666666", "#dddddd"
COLOURS = "cividis"  # even in lightness, the same to colour-blind eyes
WIDE = 10.0  # values that span this factor are drawn on a log scale

SETTINGS: dict[str, Any] = {
    "figure.figsize": SIZE,
    "figure.dpi": DPI,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 12.5,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 12.5,
    "grid.color": LINES,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "text.parse_math": False,  # a dollar is a dollar
    "svg.fonttype": "none",
    "svg.hashsalt": "hpo",
}


@dataclass(frozen=True)
class Mark:
    """How the trials of a state are drawn."""

    label: str
    colour: str
    shape: str
    size: float


# The palette of Okabe and Ito (2008)
MARKS = {
    "COMPLETE": Mark("complete", "#0072B2", "o", 80),
    "PRUNED": Mark("pruned", "#E69F00", "v", 72),
    "FAIL": Mark("failed", "#D55E00", "x", 72),
    "RUNNING": Mark("running", "#999999", "s", 64),
}
BEST = Mark("best", "#009E73", "*", 330)


def figure(story: Story, title: str, note: str = "") -> Figure:
    """An empty picture with its title, and below it study, metric, direction, trials and what is to be known."""
    count = len(story.trials)
    facts = [story.name, f"{story.metric}, {story.direction}", f"{count} trial{'s' * (count != 1)}", note]
    return headed(title, facts)


def headed(title: str, facts: Iterable[str]) -> Figure:
    """An empty picture with its title, and below it some facts."""
    made = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    engine: Any = made.get_layout_engine()
    engine.set(rect=(0.01, 0.01, 0.98, 0.87), w_pad=0.08, h_pad=0.08)
    made.text(0.022, 0.945, title, fontsize=17, fontweight="bold", color=INK)
    made.text(0.022, 0.903, "  ·  ".join(fact for fact in facts if fact), fontsize=12, color=QUIET)
    return made


def scatter(axes: Axes, rows: Sequence[Row], x: Sequence[float], y: Sequence[float]) -> None:
    """Trials as marks by their states."""
    for state, mark in MARKS.items():
        at = [index for index, row in enumerate(rows) if row["state"] == state]
        if at:
            points(axes, mark, [x[index] for index in at], [y[index] for index in at])


def points(axes: Axes, mark: Mark, x: Sequence[float], y: Sequence[float], share: float = 1.0, **more: Any) -> None:
    """Marks of one kind, in a share of their usual size."""
    edge: dict[str, Any] = {} if mark.shape == "x" else {"edgecolors": "white", "linewidths": 0.7}
    given = {"s": mark.size * share, "marker": mark.shape, "color": mark.colour, "label": mark.label, "zorder": 3}
    axes.scatter(x, y, **{**given, **edge, **more})


def star(axes: Axes, x: float, y: float) -> None:
    """The mark of the best trial."""
    points(axes, BEST, [x], [y], zorder=5)


def legend(made: Figure, *axes: Axes) -> None:
    """One legend for the whole picture, to the right of its title, each label once."""
    found: dict[str, Any] = {}
    for one in axes:
        handles, labels = one.get_legend_handles_labels()
        found |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in found}
    order = [mark.label for mark in MARKS.values()]
    labels = sorted(found, key=lambda label: order.index(label) if label in order else len(order))
    if found:
        handles = [found[label] for label in labels]
        drawn = made.legend(handles, labels, loc="upper right", bbox_to_anchor=(0.985, 0.985), ncols=len(labels))
        drawn.set_in_layout(False)


def scale_values(ticks: Ticks, values: Iterable[float]) -> None:
    """A log scale for values of one sign that differ by large factors."""
    found = [value for value in values if math.isfinite(value)]
    if found and min(found) > 0 and max(found) / min(found) > WIDE:
        _log(ticks)


def dress(ticks: Ticks, axis: Axis) -> None:
    """Scale, limits and ticks of a parameter's axis, with some room at both ends."""
    low, high = axis.bounds
    if axis.log:
        _log(ticks)
        room = (high / low) ** 0.04
        _limit(ticks, low / room, high * room)
        return
    room = 0.5 if axis.choices else (high - low) * 0.04 or 0.5
    _limit(ticks, low - room, high + room)
    if axis.choices:
        ticks.set_major_locator(FixedLocator(list(range(len(axis.choices)))))
        ticks.set_major_formatter(FuncFormatter(lambda place, _: axis.choices[round(place)]))
    elif axis.whole:
        ticks.set_major_locator(MaxNLocator(nbins=7, integer=True))


def _limit(ticks: Ticks, low: float, high: float) -> None:
    set_limits = ticks.axes.set_xlim if isinstance(ticks, XAxis) else ticks.axes.set_ylim
    set_limits(low, high)


def _log(ticks: Ticks) -> None:
    set_scale = ticks.axes.set_xscale if isinstance(ticks, XAxis) else ticks.axes.set_yscale
    set_scale("log")
    low, high = ticks.get_data_interval()
    decades = math.log10(high / low) if 0 < low < high < math.inf else 9.0
    if decades < 3:
        ticks.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ticks.set_major_formatter(FuncFormatter(lambda value, _: shown(float(value))))
    ticks.set_minor_formatter(NullFormatter())
