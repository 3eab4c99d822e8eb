"""All settings of a first study, in the order of a study file: a guess for each, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from hpo.columns import Column
from hpo.guesses import Guess, Rows, counted, most_tokens
from hpo.recipes import RECIPES, Recipe, Start

_REPEATING = 0.7
"""Of the texts of a pair, the most that are different where rows of one text are kept together."""
_GROUPS = 10
"""Different texts of a pair, the fewest for that: of two topics, each split would have one, and the third none."""


def guess(rows: Rows, place: Iterable[Guess]) -> Iterator[Guess]:
    """All settings but the study's name; `place` is where the rows are."""
    recipe = RECIPES[rows.roles.kind]
    start = recipe.start(rows)
    yield from _task(rows, recipe)
    yield Guess(("objective", "model", "name"), start.name, start.why)
    for one in (*place, *_data(rows, recipe, start), *_cleaning(rows)):
        yield replace(one, keys=("objective", "data", *one.keys))
    yield Guess(("objective", "training", "epochs"), _epochs(rows), f"for {len(rows.table)} rows; more rows need fewer")
    yield from _search(rows, recipe, start)
    yield from _judged(rows, recipe)


def _task(rows: Rows, recipe: Recipe) -> Iterator[Guess]:
    roles, at = rows.roles, ("objective", "task")
    why = recipe.why.replace("each text", "each pair of texts") if roles.pair else recipe.why
    own = list(recipe.own(rows))
    kind = (*at, "kind") if own else at
    yield Guess(kind, roles.kind, f"{why}, {roles.why}" if roles.why else why)
    if recipe.instead is not None:
        yield Guess(kind, *recipe.instead, off=True)
    for one in own:
        yield replace(one, keys=(*at, *one.keys))


def _data(rows: Rows, recipe: Recipe, start: Start) -> Iterator[Guess]:
    yield from _columns(rows, recipe)
    yield from _grouped(rows)
    if not rows.splits:
        yield Guess(("split",), _split(rows), "shares; the rest trains")
    elif "valid" not in rows.splits:
        split = _split(rows)
        kept = {"valid": split["valid"]} if "test" in rows.splits else split
        yield Guess(("split",), kept, "shares of train: there are no validation rows; the rest trains")
    if not rows.kind.images:
        yield _max_length(rows, recipe, start)


def _columns(rows: Rows, recipe: Recipe) -> Iterator[Guess]:
    roles = rows.roles
    seen = f"{len(roles.text.counts)} different images" if rows.kind.images else roles.text.described
    yield Guess(("text",), roles.text.name, f"the column to read: {seen}{_or(roles.others)}")
    if roles.pair is not None:
        yield Guess(("pair",), roles.pair.name, f"a second text, read with it: {roles.pair.described}")
    elif roles.others:
        why = "turn on if it is to be read together with the text"
        yield Guess(("pair",), roles.others[0].name, why, off=True)
    if roles.label is not None:
        yield Guess(("label",), roles.label.name, f"the column to predict: {recipe.label(rows, roles.label)}")


def _or(others: tuple[Column, ...]) -> str:
    return f"; or {' or '.join(column.name for column in others)}, as long" if others else ""


def _grouped(rows: Rows) -> Iterator[Guess]:
    """The text of a pair that stands in many rows, else columns that may say which rows belong together."""
    both = rows.roles.read if rows.roles.pair is not None and not rows.splits else ()
    repeating = [column for column in both if _GROUPS <= len(column.counts) <= _REPEATING * len(column.filled)]
    if repeating:
        text = min(repeating, key=lambda column: len(column.counts))
        yield Guess(("group",), text.name, f"{text.described} in {len(rows.table)} rows: those of one stay together")
        return
    for column in rows.groups:
        seen = f"{column.described}; turn on if rows with the same one belong together"
        yield Guess(("group",), column.name, seen, off=True)


def _max_length(rows: Rows, recipe: Recipe, start: Start) -> Guess:
    prefix = next((str(one.value) for one in recipe.own(rows) if one.keys == ("prefix",)), "")
    rounded, most, how = most_tokens([prefix + text for text in rows.texts], start.name, recipe.longest)
    windows = "; longer ones are read in windows" if rows.kind.windows else ""
    return Guess(("max_length",), rounded, f"95 % of the texts have at most {most} {how}{windows}")


def _cleaning(rows: Rows) -> Iterator[Guess]:
    if rows.empty:
        needed = "a text" if rows.roles.label is None or rows.kind.blank else "a text or a label"
        yield Guess(("clean", "drop_empty"), True, f"{counted(rows.empty, 'row')} without {needed}")
    if rows.repeated:
        why = f"{counted(rows.repeated, 'text')} said before: some would stand in two splits"
        yield Guess(("clean", "deduplicate"), True, why)
    if "data.clean.strip_html" not in rows.kind.unknown and (seen := rows.html):
        yield Guess(("clean", "strip_html"), True, f"tags or entities in {seen}")


def _split(rows: Rows) -> dict[str, float]:
    size = 0.25 if len(rows.table) < 500 else 0.2 if len(rows.table) < 20_000 else 0.1
    return {"valid": size, "test": size}


def _epochs(rows: Rows) -> int:
    return next((epochs for most, epochs in ((500, 8), (2000, 5), (10_000, 3)) if len(rows.table) < most), 2)


def _search(rows: Rows, recipe: Recipe, start: Start) -> Iterator[Guess]:
    low, high = start.rates
    yield _ranged("training.learning_rate", {"low": low, "high": high, "log": True})
    yield _ranged("training.batch_size", [4, 8, 16] if len(rows.table) < 200 else [8, 16, 32])
    yield _ranged("training.warmup_ratio", {"low": 0.0, "high": 0.2})
    blocks = start.blocks
    yield _ranged("model.frozen_layers", {"low": 0, "high": blocks}, f"0 trains all, {blocks} only the head")
    yield from recipe.search(rows)
    if rows.imbalance >= 3:
        seen = f"the largest class has {rows.imbalance:.0f} times the rows of the smallest"
        yield _ranged("training.class_weights", ["none", "balanced"], seen)


def _ranged(address: str, value: Any, why: str = "") -> Guess:
    return Guess(("search", address), value, why)


def _judged(rows: Rows, recipe: Recipe) -> Iterator[Guess]:
    yield Guess(("sampler",), "tpe")
    yield Guess(("pruner",), "percentile", "stops the worst quarter at each evaluation")
    yield Guess(("metric",), *recipe.metric(rows))
    trials = 20 if len(rows.table) < 5000 else 12
    yield Guess(("trials",), trials, "the budget, pruned trials included")
    yield Guess(("seed",), 0)
