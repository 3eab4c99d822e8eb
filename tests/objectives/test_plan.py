"""Which rows share a step: drawn by the seed alone, or of about one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cases import run

from objectives.cache import Cache
from objectives.host import Host
from objectives.plan import Plan, plan
from objectives.seeds import derive
from objectives.settings import Settings, Training, replace

Lesson = Callable[..., Settings]
SIZES = [1, 7, 8, 22, 100, 5000]


def drawn(lengths: Sequence[int], grouped: bool) -> Plan:
    return plan(Training(batch_size=4, gradient_accumulation_steps=2, seed=1, group_by_length=grouped), lengths)


def lengths_of(rows: int) -> list[int]:
    return [10 + derive(row, "length") % 90 for row in range(rows)]


def epoch_of(found: Plan, epoch: int) -> list[Sequence[int]]:
    first = epoch * found.steps_per_epoch
    return [batch for step in range(first, first + found.steps_per_epoch) for batch in found.batches(step)]


def padding(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    return sum(max(lengths[row] for row in batch) * len(batch) for batch in batches) - sum(lengths)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("rows", SIZES)
def test_an_epoch_has_every_row_once(rows: int, grouped: bool) -> None:
    found = drawn(lengths_of(rows), grouped)
    epochs = [epoch_of(found, 0), epoch_of(found, 1)]
    for batches in epochs:
        assert sorted(row for batch in batches for row in batch) == list(range(rows))
        assert [len(batch) for batch in batches] == [4] * (rows // 4) + [rows % 4] * (rows % 4 > 0)
    assert epochs == [epoch_of(drawn(lengths_of(rows), grouped), epoch) for epoch in (0, 1)]
    assert epochs[0] != epochs[1] or rows == 1 or (grouped and found.steps_per_epoch == 1)


@pytest.mark.parametrize(("rows", "less"), [(100, 1.5), (5000, 5)])
def test_rows_of_about_one_length_make_a_step(rows: int, less: float) -> None:
    lengths = lengths_of(rows)
    plain, alike = (epoch_of(drawn(lengths, grouped), 0) for grouped in (False, True))
    assert padding(plain, lengths) > less * padding(alike, lengths)
    longest = [max(lengths[row] for row in batch) for batch in alike]
    assert longest != sorted(longest, reverse=True), "steps are in any order"


def test_a_step_has_other_rows_in_each_epoch() -> None:
    found = drawn(range(400), grouped=True)  # of which no two are of one length
    first, second = ({frozenset(batch) for batch in epoch_of(found, epoch)} for epoch in (0, 1))
    assert len(first & second) < len(first) / 20


def test_the_cache_changes_no_step(lesson: Lesson, tmp_path: Path) -> None:
    mine = replace(lesson("text-classification", "bert", epochs=2, frozen_layers=1), {"training.group_by_length": True})
    plain, _ = run(mine)
    cached, result = run(mine, Host("cpu", 1, cache=Cache(tmp_path / "cache", trials=9)))
    assert result.facts["cached"]
    losses = [one.metrics["train_loss"] for one in cached]
    assert losses == pytest.approx([one.metrics["train_loss"] for one in plain], abs=1e-5)
    others, _ = run(replace(mine, {"training.group_by_length": False}))
    assert losses != pytest.approx([one.metrics["train_loss"] for one in others], abs=1e-4)
