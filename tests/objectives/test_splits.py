"""Dividing rows into train, valid and test: sizes, classes, groups, order."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from objectives import data
from objectives.errors import DataError
from objectives.settings import Data, Split


def labels(part: data.Table) -> Counter:
    return Counter(part.column("label"))


def of_rows(write, rows: list[tuple], **settings) -> Data:
    names = ("text", "label", "group")[: len(rows[0])]
    content = "\n".join(",".join(map(str, row)) for row in (names, *rows))
    return Data(path=write("rows.csv", content), **settings)


SPLITS = [
    (Split(), (61, 21, 21)),
    (Split(valid=10, test=0.1), (83, 10, 10)),
    (Split(train=20, valid=11, test=7), (20, 11, 7)),
    (Split(train=0.5, valid=0.25, test=0.25), (51, 26, 26)),
    (Split(train=0.1, valid=0.1, test=0.1), (10, 10, 10)),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("split", "sizes"), SPLITS)
def test_splits_are_exact_disjoint_and_stratified(write, split, sizes, seed):
    rows = [(f"t{i}", "abbccccc"[(i * i + seed) % 8]) for i in range(103)]
    splits = data.load(of_rows(write, rows, split=split), seed, test=True)
    parts = [splits.train, splits.valid, splits.test]
    texts = [text for part in parts for text in part.column("text")]
    assert tuple(len(part) for part in parts) == sizes
    assert len(set(texts)) == len(texts)
    counts = Counter(label for _, label in rows)
    for part in parts:
        for label, count in counts.items():
            assert abs(labels(part)[label] - count * len(part) / len(rows)) < 1


def test_three_rounded_shares_take_no_row_that_is_not_there(write):
    rows = [(f"t{i}", "ab"[i % 2]) for i in range(10)]
    splits = data.load(of_rows(write, rows, split=Split(train=0.25, valid=0.5, test=0.25)), 0, test=True)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (2, 5, 3)


def test_each_class_has_a_row_to_train_and_one_to_validate(write):
    rows = [(f"t{i}", "rare" if i < 2 else "few" if i < 5 else "many") for i in range(60)]
    for seed in range(5):
        splits = data.load(of_rows(write, rows, split=Split(valid=5, test=30)), seed)
        assert set(labels(splits.train)) == set(labels(splits.valid)) == {"rare", "few", "many"}
        assert len(splits.valid) == 5


def test_labels_that_do_not_repeat_are_not_stratified(write):
    splits = data.load(of_rows(write, [(f"t{i}", i / 7) for i in range(50)]), 0)
    assert (len(splits.train), len(splits.valid)) == (30, 10)


def test_the_seed_decides_and_the_order_in_files_stays(write):
    settings = of_rows(write, [(f"{i:03}", i % 2) for i in range(100)])
    first, again, other = (data.load(settings, seed).train.column("text") for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first == sorted(first)


GROUPED = [(f"t{i}", "no" if i % 3 else "yes", f"g{i * i % 89 % 37}") for i in range(400)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", [Split(), Split(valid=50, test=90), Split(train=200, valid=40, test=40)])
def test_no_group_stands_in_two_splits(write, split, seed):
    splits = data.load(of_rows(write, GROUPED, group="group", split=split), seed, test=True)
    parts = [splits.train, splits.valid, splits.test]
    homes = Counter(group for part in parts for group in set(part.column("group")))
    assert set(homes.values()) == {1}
    asked = [len(part) for part in parts_without_groups(write, split)]
    for part, size in zip(parts, asked, strict=True):
        assert abs(len(part) - size) <= 6
        assert abs(labels(part)["yes"] / len(part) - 1 / 3) < 0.08


def parts_without_groups(write, split: Split) -> list[data.Table]:
    splits = data.load(of_rows(write, GROUPED, split=split), 0, test=True)
    return [splits.train, splits.valid, splits.test]


def test_groups_of_one_row_divide_as_exactly_as_rows(write):
    rows = [(f"t{i}", "ab"[i % 2], f"g{i}") for i in range(100)]
    splits = data.load(of_rows(write, rows, group="group"), 0, test=True)
    parts = [splits.train, splits.valid, splits.test]
    assert [labels(part) for part in parts] == [{"a": n, "b": n} for n in (30, 10, 10)]
    other = data.load(of_rows(write, rows, group="group"), 1).train
    assert other.column("text") != splits.train.column("text")


def test_large_groups_are_placed_before_small_ones(write):
    rows = [(f"t{i}", "ab"[i % 2], f"g{i // 20 if i < 80 else i}") for i in range(100)]
    for seed in range(5):
        splits = data.load(of_rows(write, rows, group="group"), seed, test=True)
        assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [60, 20, 20]


def test_as_many_groups_as_splits_stand_one_in_each(write):
    rows = [(f"t{i}", "ab"[i % 2], f"g{i // 20}") for i in range(60)]
    splits = data.load(of_rows(write, rows, group="group"), 0, test=True)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [20, 20, 20]


GROUPS = [
    ([("t", "ab"[i % 2], f"g{i % 2}") for i in range(40)], "train, valid, test need a group each; found 2"),
    (
        [("t", "ab"[i % 2], f"g{i % 2 and i % 8}") for i in range(40)],
        "all rows of class 'a' stand in group 'g0'; train and valid need one each",
    ),
    (
        [*[("t", "ab"[i % 2], f"g{i % 4}") for i in range(39)], ("t", "b", "g0")],
        "dividing by group leaves no row of class 'b' in valid; "
        "divide the rows yourself into data.train and data.valid",
    ),
]


@pytest.mark.parametrize(("rows", "message"), GROUPS)
def test_groups_that_cannot_be_divided_are_told(write, rows, message):
    with pytest.raises(DataError) as caught:
        data.load(of_rows(write, rows, group="group", split=Split(valid=0.1, test=0.1)), 0)
    assert str(caught.value) == f"data.group: {message}"


def test_rows_and_order_are_the_same_in_every_process(write):
    settings = of_rows(write, GROUPED, group="group")
    script = (
        "import hashlib; from objectives import data; from objectives.settings import Data\n"
        f"for group in (None, 'group'):\n  s = data.load(Data(path={settings.path!r}, group=group), 5, test=True)\n"
        "  print([hashlib.sha256(repr(t).encode()).hexdigest() for t in (s.train, s.valid, s.test)])\n"
        "print(data.order(20, 1, 2))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().splitlines()[-1] == str(data.order(20, 1, 2))


def test_order_is_a_shuffle_of_rows_seed_and_epoch_alone():
    assert sorted(data.order(100, 0, 0)) == list(range(100))
    orders = [data.order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert data.order(6, 0, 1) == [0, 5, 4, 3, 2, 1]  # the same in years to come
