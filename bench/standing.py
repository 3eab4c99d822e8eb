"""The tables of the whole comparison, and which goals it meets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, median
from typing import Any

from bench import floor
from bench.peers import Contest, Point

NAMES = {
    "trainer": "`Trainer.hyperparameter_search`",
    "plain": "Optuna and a loop in torch",
    "hpo": "hpo",
    "hpo auto": "hpo, `precision: auto`",
}
GOALS = {0: 1.7, 2: 2.2, 4: 4.0, 6: 100.0}
BLOCKS, HIDDEN = 6, 384
Row = dict[str, Any]


class Found:
    """The measurements, by what was measured."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.depths = sorted({row["key"]["frozen_layers"] for row in rows if "frozen_layers" in row["key"]})

    def of(self, what: str, **key: Any) -> list[Row]:
        """Those of this kind whose keys agree."""
        wanted = {"what": what, **key}
        return [row for row in self.rows if all(row["key"].get(name) == value for name, value in wanted.items())]

    def cpu(self, what: str, depth: int, field: str = "training") -> float | None:
        """The mean over points of the median over seeds; None where nothing was measured."""
        cells: dict[Any, list[float]] = {}
        for row in self.of(what, frozen_layers=depth):
            cells.setdefault((row["key"]["learning_rate"], row["key"]["batch_size"]), []).append(row[field])
        return mean(median(cell) for cell in cells.values()) if cells else None


def tables(rows: Sequence[Row], contest: Contest) -> str:
    """Markdown."""
    found = Found(rows)
    parts = (heading(found, contest), _times(found, contest), results(found), whole(found), _goals(found, contest))
    return "\n\n".join("\n".join(part) for part in parts)


def heading(found: Found, contest: Contest) -> Iterator[str]:
    """What was measured, when."""
    dates, revisions = (sorted({row[name] for row in found.rows}) for name in ("when", "revision"))
    yield f"{contest.train} training and {contest.valid} validation rows, {contest.epochs} epochs; "
    if dates:
        yield f"{len(found.rows)} measurements from {dates[0]} to {dates[-1]} UTC, revisions {', '.join(revisions)}."


def _times(found: Found, contest: Contest) -> Iterator[str]:
    yield "| CPU s of training and evaluation | " + " | ".join(f"frozen {depth}" for depth in found.depths) + " | mix |"
    yield "|---|" + "---|" * (len(found.depths) + 1)
    for what, name in NAMES.items():
        yield line(name, [found.cpu(what, depth) for depth in found.depths], _mix(found, what))
    yield line("hpo, all of a trial", [found.cpu("hpo", depth, "seconds") for depth in found.depths], None)
    yield line("the arithmetic alone", [_floor(found, contest, depth) for depth in found.depths], None)
    for what in ("hpo", "hpo auto"):
        ratios = [_ratio(found, what, depth) for depth in found.depths]
        yield line(f"Trainer / {NAMES[what]}", ratios, _over(_mix(found, "trainer"), _mix(found, what)))


def _mix(found: Found, what: str) -> float | None:
    """A trial of the mix on average, the filling of the cache shared out among those of one study."""
    cells = [found.cpu(what, depth) for depth in found.depths]
    fills = [row["fill"] for row in found.of("fill")]
    if not cells or None in cells or not fills:
        return None
    total = mean(cell for cell in cells if cell is not None)
    points = len({(row["key"]["learning_rate"], row["key"]["frozen_layers"]) for row in found.of("hpo")})
    return total + (median(fills) / points if what.startswith("hpo") else 0.0)


def _floor(found: Found, contest: Contest, depth: int) -> float | None:
    rates = [row["rate"] for row in found.of("gemm")]
    if not rates:
        return None
    splits = contest.splits(Point(depth, 1e-4, 16, 0.0))
    train, valid = (
        floor.Work(sum(len(row["input_ids"]) for row in splits[name]), len(splits[name]), trained, evaluated)
        for name, trained, evaluated in (("train", contest.epochs, 0), ("valid", 0, contest.epochs))
    )
    return floor.flop(HIDDEN, BLOCKS, depth, train, valid) / median(rates)


def results(found: Found, names: Mapping[str, str] = NAMES) -> Iterator[str]:
    """The losses and accuracies that each contender came to."""
    yield "| validation loss (lowest to highest seed), accuracy | " + " | ".join(names.values()) + " |"
    yield "|---|" + "---|" * len(names)
    points = sorted({(row["key"]["frozen_layers"], row["key"]["learning_rate"]) for row in found.of("hpo")})
    for depth, rate in points:
        cells = []
        for what in names:
            rows = found.of(what, frozen_layers=depth, learning_rate=rate)
            losses = [row["val_loss"] for row in rows]
            right = f", {mean(row['accuracy'] for row in rows):.3f}" if rows else ""
            cells.append(f"{mean(losses):.3f} ({min(losses):.3f}-{max(losses):.3f}){right}" if rows else "")
        yield f"| frozen {depth}, learning rate {rate:g} | " + " | ".join(cells) + " |"


def whole(found: Found) -> Iterator[str]:
    """Studies by their numbers of workers; idle is a worker's time in which it neither trained nor evaluated nor filled
    the cache."""
    yield "| `hpo launch`, one thread a worker | wall s, first claim to last end | idle share |"
    yield "|---|---|---|"
    for workers in sorted({row["key"]["workers"] for row in found.of("ends")}):
        rows = found.of("ends", workers=workers)
        walls, idle = median(row["wall"] for row in rows), median(row["idle_share"] for row in rows)
        yield f"| {workers} | {walls:.0f} | {idle:.1%} |"


def _goals(found: Found, contest: Contest) -> Iterator[str]:
    yield "| goal | measured | |"
    yield "|---|---|---|"
    for depth, least in GOALS.items():
        yield _goal(f"frozen {depth}: at least {least:g} times the Trainer", _ratio(found, "hpo", depth), least)
    yield _goal("frozen 6: at most 1.5 CPU s in all", found.cpu("hpo", 6, "seconds"), 1.5, most=True)
    for what, least in (("hpo", 2.5), ("hpo auto", 4.0)):
        yield _goal(f"mix, {NAMES[what]}: at least {least:g}", _over(_mix(found, "trainer"), _mix(found, what)), least)
    for depth in (0, 2, 4):
        above = _over(found.cpu("hpo", depth), _floor(found, contest, depth))
        yield _goal(f"frozen {depth}: at most 1.7 times the arithmetic", above, 1.7, most=True)
    one, two = ([row["wall"] for row in found.of("ends", workers=workers)] for workers in (1, 2))
    idle = [row["idle_share"] for row in found.of("ends", workers=1)]
    yield _goal(
        "all but training, evaluating and filling: under 3 %", 100 * median(idle) if idle else None, 3, most=True
    )
    yield _goal("2 workers against 1: at least 1.8", median(one) / median(two) if one and two else None, 1.8)
    outside = [f"frozen {depth} at {rate:g}" for depth, rate in _apart(found)]
    seeds = len({row["key"]["seed"] for row in found.of("plain")})
    met = "one seed has no spread" if seeds < 2 else "**missed**" if outside else "met"
    yield f"| losses within the plain loop's spread of seeds | {', '.join(outside) if seeds > 1 else ''} | {met} |"


def _apart(found: Found) -> Iterator[tuple[int, float]]:
    """The points where the seeds' mean lies outside the plain loop's lowest and highest."""
    points = {(row["key"]["frozen_layers"], row["key"]["learning_rate"]) for row in found.of("hpo")}
    for depth, rate in sorted(points):
        ours, theirs = (
            [row["val_loss"] for row in found.of(what, frozen_layers=depth, learning_rate=rate)]
            for what in ("hpo", "plain")
        )
        if theirs and not min(theirs) <= mean(ours) <= max(theirs):
            yield depth, rate


def _goal(name: str, value: float | None, bound: float, most: bool = False) -> str:
    if value is None:
        return f"| {name} | | not measured |"
    met = value <= bound if most else value >= bound
    return f"| {name} | {value:.2f} | {'met' if met else '**missed**'} |"


def _ratio(found: Found, what: str, depth: int) -> float | None:
    return _over(found.cpu("trainer", depth), found.cpu(what, depth))


def _over(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def line(name: str, cells: Sequence[float | None], last: float | None) -> str:
    return f"| {name} | " + " | ".join("" if cell is None else f"{cell:.2f}" for cell in (*cells, last)) + " |"
