"""Pictures of what parameters do: which of them mattered, values along one, two or all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from hpo.errors import StudyError
from hpo.plots import style
from hpo.plots.story import Axis, Row, Story
from hpo.plots.style import BEST, COLOURS, INK, QUIET
from hpo.tables import shown

PANELS = 12  # as many as stay readable in one picture
FIFTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def importance(story: Story, shares: Mapping[str, float], count: int) -> Figure:
    """A bar a parameter; `shares` by address add up to 1, from `count` trials."""
    labels = {axis.address: axis.label for axis in story.axes}
    note = f"PED-ANOVA over {count} ended trials" + (", a rough guess from so few" if count < 50 else "")
    made = style.figure(story, "Importance of parameters", note)
    axes = made.subplots()
    names, widths = list(shares), list(shares.values())
    bars = axes.barh([labels[name] for name in names], widths, color=style.MARKS["COMPLETE"].colour, height=0.62)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in widths], padding=6, fontsize=12, color=INK)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=12.5, labelcolor=INK)
    axes.set(xlabel="share of what tells the best trials from all trials", xlim=(0, max(widths, default=1.0) * 1.12))
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.grid(False, axis="y")
    return made


def slices(story: Story, params: Sequence[str] = ()) -> Figure:
    """The value of every trial along each parameter."""
    rows, chosen = story.at_least(1, "slice"), story.chosen(params)
    left_out = f"{len(chosen) - PANELS} more parameters: --param" if len(chosen) > PANELS else ""
    chosen = chosen[:PANELS]
    made = style.figure(story, "Values along each parameter", left_out)
    columns = min(len(chosen), 3 if len(chosen) in (3, 5, 6) or len(chosen) > 8 else 4 if len(chosen) > 4 else 2)
    grid = made.subplots(math.ceil(len(chosen) / columns), columns, sharey=True, squeeze=False)
    for index, panel in enumerate(grid.flat):
        if index < len(chosen):
            _slice(panel, story, rows, chosen[index])
        else:
            panel.set_visible(False)
        if index % columns == 0:
            panel.set_ylabel(story.metric)
    style.scale_values(grid.flat[0].yaxis, [row["best_value"] for row in rows])
    style.legend(made, *grid.flat)
    return made


def parallel(story: Story, params: Sequence[str] = ()) -> Figure:
    """Every trial as a line through all its parameters to its value; the better, the darker."""
    rows, chosen = story.at_least(2, "parallel"), story.chosen(params)
    made = style.figure(story, "Parameters and value of every trial", "dark is good")
    axes = made.subplots()
    values = [float(row["best_value"]) for row in rows]
    norm = _norm(values)
    order = sorted(range(len(rows)), key=lambda index: -story.sign * values[index])  # the best on top
    lines = [_line(rows[index], chosen, norm(values[index])) for index in order]
    colours = [_colour(norm(values[index]), story) for index in order]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.6, alpha=0.75, zorder=2))
    if story.best:
        line = _line({"params": story.best["params"]}, chosen, norm(story.best["value"]))
        axes.plot(*zip(*line, strict=True), color=BEST.colour, linewidth=3.2, zorder=3, label=BEST.label)
        style.star(axes, len(chosen), norm(story.best["value"]))
    _rails(axes, story, chosen, norm)
    style.legend(made, axes)
    return made


def contour(story: Story, params: Sequence[str] = ()) -> Figure:
    """The value over two parameters: a mean over near trials, weighted by nearness; white where there is none."""
    chosen = sorted(story.chosen(params), key=lambda axis: bool(axis.choices) and not params)  # numbers first
    if len(chosen) < 2 or len(params) not in (0, 2):
        raise StudyError(f"{story.spec.study}: contour needs two parameters; name them with --param A --param B")
    first, second = chosen[:2]
    rows = [row for row in story.at_least(3, "contour") if _inside(row, first) and _inside(row, second)]
    made = style.figure(story, f"{story.metric} over {first.label} and {second.label}", "a mean over near trials")
    axes = made.subplots()
    values = [float(row["best_value"]) for row in rows]
    norm = _norm(values)
    _surface(axes, story, rows, (first, second), norm)
    style.dress(axes.xaxis, first)
    style.dress(axes.yaxis, second)
    axes.set(xlabel=first.label, ylabel=second.label)
    axes.grid(False)
    bar = made.colorbar(ScalarMappable(norm, _map(story)), ax=axes, pad=0.02, aspect=30)
    bar.set_ticks([float(norm.inverse(share)) for share in FIFTHS], labels=_levels(norm))
    bar.set_label(story.metric)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    style.legend(made, axes)
    return made


def _slice(panel: Axes, story: Story, rows: Sequence[Row], axis: Axis) -> None:
    inside = [row for row in rows if _inside(row, axis)]
    places = [axis.place(row["params"][axis.address]) for row in inside]
    if axis.choices:
        places = [place + 0.24 * _spread(row["number"]) for place, row in zip(places, inside, strict=True)]
    style.scatter(panel, inside, places, [float(row["best_value"]) for row in inside])
    if story.best:
        number = story.best["number"]
        for row, place in zip(inside, places, strict=True):
            if row["number"] == number:
                style.star(panel, place, story.best["value"])
    panel.set_xlabel(axis.label)
    style.dress(panel.xaxis, axis)
    if len(axis.choices) > 4 or sum(map(len, axis.choices)) > 24:
        panel.tick_params(axis="x", rotation=30)


def _spread(number: int) -> float:
    """Between -1 and 1, the same for the same trial, so that marks on one choice do not hide each other."""
    return ((number * 0.618034) % 1.0) * 2 - 1


def _inside(row: Row, axis: Axis) -> bool:
    return axis.address in row["params"] and math.isfinite(axis.place(row["params"][axis.address]))


def _norm(values: Sequence[float]) -> Normalize:
    low, high = min(values), max(values)
    if low == high:
        return Normalize(low - 0.5, high + 0.5)
    return LogNorm(low, high) if low > 0 and high / low > style.WIDE else Normalize(low, high)


def _levels(norm: Normalize) -> list[str]:
    """The values that stand at FIFTHS of a scale."""
    return [f"{float(norm.inverse(share)):.3g}" for share in FIFTHS]


def _map(story: Story) -> str:
    """The colour map in which good values are dark."""
    return COLOURS if story.sign > 0 else f"{COLOURS}_r"


def _colour(share: float, story: Story) -> Any:
    return ScalarMappable(Normalize(0, 1), _map(story)).to_rgba(np.asarray(share))


def _line(row: Row, axes: Sequence[Axis], value: float) -> list[tuple[float, float]]:
    shares = [axis.share(row["params"][axis.address]) if _inside(row, axis) else math.nan for axis in axes]
    return [(float(at), share) for at, share in enumerate([*shares, float(value)])]


def _rails(axes: Axes, story: Story, chosen: Sequence[Axis], norm: Normalize) -> None:
    """An upright line a parameter with its values, and one for the metric."""
    for at, axis in enumerate(chosen):
        for label, share in _ticks(axis):
            _tick(axes, at, share, label)
    for share, label in zip(FIFTHS, _levels(norm), strict=True):
        _tick(axes, len(chosen), share, label)
    labels = [*(axis.label for axis in chosen), story.metric]
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", length=0, labelsize=12, labelcolor=INK, pad=10)
    if max(map(len, labels)) * len(labels) > 110:
        axes.tick_params(axis="x", rotation=20)
    axes.vlines(range(len(labels)), 0, 1, color=QUIET, linewidth=1.2, zorder=1)
    axes.set(xlim=(-0.15, len(chosen) + 0.35), ylim=(-0.03, 1.03), yticks=[])
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _tick(axes: Axes, at: float, share: float, label: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2}
    axes.text(at + 0.03, share, label, fontsize=10.5, color=INK, va="center", zorder=6, bbox=box)


def _ticks(axis: Axis) -> list[tuple[str, float]]:
    """Some values of an axis and how far along they lie."""
    if axis.choices:
        last = max(len(axis.choices) - 1, 1)
        every = math.ceil(len(axis.choices) / 12)
        places = enumerate(axis.choices)
        return [(label, index / last if len(axis.choices) > 1 else 0.5) for index, label in places if not index % every]
    low, high = axis.bounds
    if axis.log:
        inner = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
        values = sorted({low, high, *inner}) if len(inner) < 7 else [low, *inner[1:-1:2], high]
    elif axis.whole and high - low <= 8:
        values = [low + step for step in range(int(high - low) + 1)]
    else:
        values = [float(value) for value in np.linspace(low, high, 5)]
    return [(shown(round(value) if axis.whole else value), axis.share(value)) for value in values]


def _surface(axes: Axes, story: Story, rows: Sequence[Row], over: tuple[Axis, Axis], norm: Normalize) -> None:
    """Colours and lines of the mean, and each trial in its own colour; the best with a star."""
    places = np.array([[axis.place(row["params"][axis.address]) for axis in over] for row in rows])
    shares = np.array([[axis.share(row["params"][axis.address]) for axis in over] for row in rows])
    values = np.array([row["best_value"] for row in rows], dtype=float)
    grids = [_grid(axis) for axis in over]
    at = np.stack(np.meshgrid(*(_known(axis, grid) for axis, grid in zip(over, grids, strict=True))), axis=-1)
    mean = _mean(shares, np.asarray(norm(values)), at)
    x, y = (_unshared(axis, grid) for axis, grid in zip(over, grids, strict=True))
    axes.contourf(x, y, mean, levels=np.linspace(0, 1, 15), cmap=_map(story), norm=Normalize(0, 1), alpha=0.85)
    axes.scatter(
        places[:, 0],
        places[:, 1],
        c=values,
        cmap=_map(story),
        norm=norm,
        s=64,
        edgecolors="white",
        linewidths=1.3,
        zorder=3,
    )
    best = next((at for at, row in enumerate(rows) if story.best and row["number"] == story.best["number"]), None)
    if best is not None:
        style.star(axes, *places[best])


def _grid(axis: Axis) -> np.ndarray[Any, Any]:
    """Shares from one end of the picture to the other; a choice reaches half way to the next."""
    room = 0.5 / max(len(axis.choices) - 1, 1) if axis.choices else 0.04
    return np.linspace(-room, 1 + room, 150)


def _known(axis: Axis, grid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The shares that stand for those of the grid: between two choices there is nothing, so the nearer one's."""
    last = len(axis.choices) - 1
    if not axis.choices:
        return grid
    return np.clip(np.floor(grid * last + 0.5), 0, last) / last if last else np.full_like(grid, 0.5)


def _mean(shares: np.ndarray[Any, Any], values: np.ndarray[Any, Any], at: np.ndarray[Any, Any]) -> Any:
    """A Gaussian kernel's mean of `values` (trials,) at places (y, x, 2), its width by Scott's rule for two dimensions.

    Masked where every trial is more than two and a half widths away.
    """
    near = 0.22 * len(values) ** (-1 / 6)
    squared = ((at[:, :, None, :] - shares[None, None]) ** 2).sum(-1)
    weights = np.exp(-squared / (2 * near**2))
    mean = (weights * values).sum(-1) / np.maximum(weights.sum(-1), 1e-300)
    return np.ma.masked_where(squared.min(-1) > (2.5 * near) ** 2, np.clip(mean, 0, 1))


def _unshared(axis: Axis, shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    low, high = axis.bounds
    if axis.log:
        return np.asarray(low * (high / low) ** shares)
    return np.asarray(low + shares * (high - low)) if high > low else np.asarray(low + (shares - 0.5))
