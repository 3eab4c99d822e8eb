"""Pictures of how a study went: by trial, by epoch, by worker, by the time that was spent."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpo.errors import StudyError
from hpo.plots import style
from hpo.plots.story import Row, Story
from hpo.plots.style import BEST, MARKS
from hpo.spending import OUTCOMES, REPEATED, UNFINISHED, repeated, spending
from hpo.tables import duration, shown

ENDINGS = {"complete": "COMPLETE", "pruned": "PRUNED", "fail": "FAIL", None: "RUNNING"}
LOST = style.Mark("given back or died", "#CC79A7", "s", 64)
BECAME = {
    **{name: MARKS[state] for state, name in OUTCOMES.items()},
    UNFINISHED: MARKS["RUNNING"],
    REPEATED: style.Mark("repeated", LOST.colour, "s", 64),
}
"""How the sums of `hpo.spending` are drawn."""


def history(story: Story, _: Sequence[str] = ()) -> Figure:
    """Each trial's value by its number, and the best complete one so far."""
    rows = story.at_least(1, "history")
    made = style.figure(story, "Optimization history", _said_best(story))
    axes = made.subplots()
    values = [float(row["best_value"]) for row in rows]
    style.scatter(axes, rows, [row["number"] for row in rows], values)
    complete = [row for row in rows if row["state"] == "COMPLETE"]
    if complete:
        so_far = list(itertools.accumulate((story.sign * row["value"] for row in complete), min))
        steps = [*(row["number"] for row in complete), story.trials[-1]["number"]]
        line = [story.sign * value for value in [*so_far, so_far[-1]]]
        axes.step(steps, line, where="post", color=BEST.colour, linewidth=2, zorder=2, label="best so far")
    if story.best:
        style.star(axes, story.best["number"], story.best["value"])
    style.scale_values(axes.yaxis, values)
    _failures(axes, story)
    axes.set(xlabel="trial", ylabel=story.metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend(made, axes)
    return made


def curves(story: Story, _: Sequence[str] = ()) -> Figure:
    """The metric of every trial over its epochs; a pruned one ends in its mark."""
    by_trial: dict[int, list[Row]] = defaultdict(list)
    for point in story.curves:
        if point["value"] is not None:
            by_trial[point["number"]].append(point)
    if not by_trial:
        raise StudyError(f"{story.spec.study}: curves needs a trial that was evaluated; there is none")
    made = style.figure(story, "Learning curves", _said_best(story))
    axes = made.subplots()
    best = story.best["number"] if story.best else None
    for row in story.trials:
        points = by_trial.get(row["number"], [])
        if points:
            _curve(axes, row["state"], points, row["number"] == best)
    style.scale_values(axes.yaxis, [point["value"] for points in by_trial.values() for point in points])
    axes.set(xlabel="epoch", ylabel=story.metric)
    axes.set_xlim(left=0)
    style.legend(made, axes)
    return made


def timeline(story: Story, _: Sequence[str] = ()) -> Figure:
    """Who worked on which trial when: a bar an attempt."""
    if not story.attempts:
        raise StudyError(f"{story.spec.study}: timeline needs an attempt at a trial; there is none")
    workers = _workers(story.attempts)
    begun = min(row["started"] for row in story.attempts)
    ended = max(row["until"] for row in story.attempts)
    whole = (ended - begun).total_seconds() or 1.0
    unit, name = _unit(whole)
    made = style.figure(story, "Timeline", f"{duration(whole)} from first to last")
    axes = made.subplots()
    for row in story.attempts:
        start, length = (row["started"] - begun).total_seconds(), (row["until"] - row["started"]).total_seconds()
        mark, at = _outcome(row), list(workers).index(row["worker"])
        axes.barh(
            at, length / unit, left=start / unit, height=0.6, color=mark.colour, edgecolor="white", label=mark.label
        )
        if length > whole * 0.025:
            axes.text(
                (start + length / 2) / unit, at, row["number"], ha="center", va="center", color=_on(mark), size=10.5
            )
    _worker_ticks(axes, list(workers.values()))
    axes.set(xlabel=f"{name} since the first trial began", xlim=(0, whole / unit * 1.01))
    style.legend(made, axes)
    return made


def cost(story: Story, _: Sequence[str] = ()) -> Figure:
    """The best value by the time that all workers together had spent, and what became of that time."""
    story.at_least(1, "cost")
    made = style.figure(story, "Cost", "time is that of all workers together")
    left, right = made.subplots(1, 2, width_ratios=(2, 1))
    ends = sorted(story.attempts, key=lambda row: row["until"])
    spent = list(itertools.accumulate(_seconds(row) for row in ends))
    _bought(left, story, {row["number"]: at for row, at in zip(ends, spent, strict=True)})
    _spent(right, story)
    style.legend(made, left)
    return made


def _said_best(story: Story) -> str:
    return f"best {shown(story.best['value'])} (trial {story.best['number']})" if story.best else ""


def _failures(axes: Axes, story: Story) -> None:
    """Trials that failed have no value: they stand at the upper edge."""
    if story.failed:
        numbers = [row["number"] for row in story.failed]
        upper = axes.get_xaxis_transform()
        style.points(axes, MARKS["FAIL"], numbers, [1.0] * len(numbers), transform=upper, clip_on=False, zorder=4)


def _curve(axes: Axes, state: str, points: Sequence[Row], best: bool) -> None:
    mark = BEST if best else MARKS[state]
    epochs = [point["epoch"] if point["epoch"] is not None else point["step"] for point in points]
    values = [point["value"] for point in points]
    strength, order = (1.0, 4) if best else (0.75, 3) if state == "COMPLETE" else (0.5, 2)
    axes.plot(epochs, values, color=mark.colour, linewidth=3 if best else 1.5, alpha=strength, zorder=order)
    style.points(axes, mark, epochs[-1:], values[-1:], 0.8 if best else 0.6, zorder=order)


def _workers(attempts: Sequence[Row]) -> dict[str, str]:
    """The label of each worker, in the order of their first trials; the host is named where there are several."""
    hosts = {row["host"] for row in attempts}
    found = list(dict.fromkeys(row["worker"] for row in attempts))
    return {worker: worker if len(hosts) > 1 else f"worker {index}" for index, worker in enumerate(found, 1)}


def _worker_ticks(axes: Axes, labels: Sequence[str]) -> None:
    every = max(len(labels) // 25, 1)
    axes.set_yticks(range(0, len(labels), every), labels[::every])
    axes.set_ylim(max(len(labels), 3) - 0.5, -0.5)
    axes.grid(False, axis="y")


def _outcome(attempt: Row) -> style.Mark:
    return MARKS[ENDINGS[attempt["outcome"]]] if attempt["outcome"] in ENDINGS else LOST


def _unit(seconds: float) -> tuple[float, str]:
    """The seconds of the unit in which such a time is shown, and its name."""
    if seconds < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 10800 else (3600.0, "hours")


def _on(mark: style.Mark) -> str:
    """A colour for letters on a bar of this mark's colour."""
    return "white" if mark.label in ("complete", "failed") else style.INK


def _counted(trials: int) -> str:
    return f"{trials} trial{'s' * (trials != 1)}"


def _seconds(attempt: Row) -> float:
    return float((attempt["until"] - attempt["started"]).total_seconds())


def _bought(axes: Axes, story: Story, spent: dict[int, float]) -> None:
    """The value of each trial by the seconds spent until it ended."""
    unit, name = _unit(max(spent.values(), default=0.0))
    spent = {number: seconds / unit for number, seconds in spent.items()}
    rows = sorted((row for row in story.valued if row["number"] in spent), key=lambda row: spent[row["number"]])
    times, values = [spent[row["number"]] for row in rows], [float(row["best_value"]) for row in rows]
    style.scatter(axes, rows, times, values)
    complete = [row for row in rows if row["state"] == "COMPLETE"]
    so_far = [
        story.sign * value for value in itertools.accumulate((story.sign * row["value"] for row in complete), min)
    ]
    if complete:
        at = [spent[row["number"]] for row in complete]
        axes.step(
            [*at, max(spent.values())],
            [*so_far, so_far[-1]],
            where="post",
            color=BEST.colour,
            linewidth=2,
            label="best so far",
        )
    if story.best and story.best["number"] in spent:
        style.star(axes, spent[story.best["number"]], story.best["value"])
    style.scale_values(axes.yaxis, values)
    axes.set(xlabel=f"{name} of work spent", ylabel=story.metric)
    axes.set_xlim(left=0)


def _spent(axes: Axes, story: Story) -> None:
    """The time by what became of it."""
    seconds = spending(story.spent).outcomes
    trials = Counter(OUTCOMES.get(row["state"], UNFINISHED) for row in story.spent if row["begun"])
    trials[REPEATED] = sum(1 for row in story.spent if repeated(row))
    shown = [name for name in BECAME if name in seconds]
    unit, name = _unit(sum(seconds.values()))
    bars = axes.bar(
        range(len(shown)),
        [seconds[one] / unit for one in shown],
        width=0.7,
        color=[BECAME[one].colour for one in shown],
    )
    said = [f"{duration(seconds[one])}\n{_counted(trials[one])}" for one in shown]
    axes.bar_label(bars, said, padding=4, fontsize=11, color=style.INK)
    axes.set_xticks(range(len(shown)), [BECAME[one].label for one in shown])
    axes.set(ylabel=f"{name} of work")
    axes.margins(y=0.16)
    axes.grid(False, axis="x")
