"""Which rows train, validate and test: exact sizes, stratified by label, no group in two splits."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from objectives.errors import DataError
from objectives.settings import Size, Split


class Sizes(NamedTuple):
    """Rows of each split; `unused` is what the settings leave over."""

    train: int
    valid: int
    test: int
    unused: int


class Rows(NamedTuple):
    """Indices of rows, ascending, by split."""

    train: list[int]
    valid: list[int]
    test: list[int]


def divide(
    split: Split, seed: int, rows: int, labels: Sequence[str] | None = None, groups: Sequence[str] | None = None
) -> Rows:
    """The rows of each split: a function of these arguments, the same on every machine.

    Sizes are exact, and each class is within a row of its share (train at worst two) as far as that leaves a row of
    each class in train and in valid. With `groups` no split is empty, and sizes and classes are as near as placing
    the largest group first gets. Labels that hardly repeat (numbers, say) are not stratified. Raises DataError where
    sizes or classes do not fit.
    """
    strata = labels if labels and are_classes(len(set(labels)), rows) else [""] * rows
    sizes = _sizes(split, rows)
    _check_room(sizes, len(set(strata)))
    chosen = _by_class(strata, sizes, seed) if groups is None else _by_group(strata, groups, sizes, seed)
    return Rows(*(sorted(part) for part in chosen))


def few(labels: Sequence[str], shots: int, seed: int) -> list[int]:
    """Indices of `shots` rows of each class, ascending: a function of these arguments, the same on every machine.

    Those of fewer shots are among those of more, with the same seed. Raises DataError where a class has not so many.
    """
    members: dict[str, list[int]] = {name: [] for name in sorted(set(labels))}
    for row in shuffled(len(labels), "shots", seed):
        members[labels[row]].append(row)
    least = min(members, key=lambda name: len(members[name]))
    if len(members[least]) < shots:
        seen = f"asks for {shots} training rows of each class, and {least!r} has {len(members[least])}"
        raise DataError("data.shots", f"{seen}; right is at most that, or null for all rows")
    return sorted(row for rows in members.values() for row in rows[:shots])


def are_classes(different: int, rows: int) -> bool:
    """Whether so many different labels of so many rows are classes: two rows or more to each, on average."""
    return 2 * different <= rows


def shuffled(rows: int, *seed: object) -> list[int]:
    """0..rows-1 in an order that depends on the seed alone, on every machine and Python."""
    draw = random.Random(" ".join(map(str, (rows, *seed))))  # noqa: S311 - no secret
    keys = [draw.random() for _ in range(rows)]  # random() is promised never to change; shuffle() is not
    return sorted(range(rows), key=keys.__getitem__)


def _sizes(split: Split, rows: int) -> Sizes:
    valid, test = _count(split.valid, rows), _count(split.test, rows)
    rest = rows - valid - test
    train = rest if split.train is None else _count(split.train, rows)
    if isinstance(split.train, float):
        train = min(train, rest)  # three rounded shares may ask for a row more than there is
    if train > rest or rest <= 0:
        mine = "some train" if split.train is None else f"{train} train"
        seen = f"{mine} + {valid} valid + {test} test"
        raise DataError("data.split", f"asks for {seen} rows and there are {rows}; lower it")
    return Sizes(train, valid, test, rest - train)


def _count(size: Size, rows: int) -> int:
    return size if isinstance(size, int) else math.floor(size * rows + 0.5)


def _check_room(sizes: Sizes, classes: int) -> None:
    for name, size in (("train", sizes.train), ("valid", sizes.valid)):
        if size < classes:
            least = f"{classes}, one of each class" if classes > 1 else "1"
            raise DataError(f"data.split.{name}", f"comes to {size} of {sum(sizes)} rows; right is at least {least}")


def _by_class(labels: Sequence[str], sizes: Sizes, seed: int) -> Rows:
    members: dict[str, list[int]] = {name: [] for name in sorted(set(labels))}
    for row in shuffled(len(labels), "split", seed):
        members[labels[row]].append(row)
    if lonely := [name for name, rows in members.items() if len(rows) < 2]:
        more = f", {len(lonely) - 1} more too" if len(lonely) > 1 else ""
        advice = "train and valid need one each: remove the row, or merge the class with another"
        raise DataError("data.label", f"class {lonely[0]!r} has one row{more}; {advice}")
    chosen = Rows([], [], [])
    plan = _plan([len(rows) for rows in members.values()], sizes)
    for rows, (train, valid, test) in zip(members.values(), plan, strict=True):
        chosen.valid.extend(rows[:valid])
        chosen.test.extend(rows[valid : valid + test])
        chosen.train.extend(rows[valid + test : valid + test + train])
    return chosen


def _plan(counts: Sequence[int], sizes: Sizes) -> Iterator[tuple[int, int, int]]:
    """Rows of train, valid and test for each class of these counts."""
    shares = [[count * size / sum(counts) for count in counts] for size in sizes]
    valid = _apportion(shares[1], sizes.valid, [1] * len(counts), [count - 1 for count in counts])
    room = [count - used for count, used in zip(counts, valid, strict=True)]
    # what rounding gave to valid is owed to train: test passes it on, as far as its own rounding permits
    owed = [
        min(max(share + mine - given, math.floor(share)), math.ceil(share))
        for mine, given, share in zip(shares[1], valid, shares[2], strict=True)
    ]
    test = _apportion(owed, sizes.test, [0] * len(counts), [free - 1 for free in room])
    room = [free - used for free, used in zip(room, test, strict=True)]
    train = _apportion(shares[0], sizes.train, [1] * len(counts), room)
    return zip(train, valid, test, strict=True)


def _apportion(shares: Sequence[float], total: int, low: Sequence[int], high: Sequence[int]) -> list[int]:
    """Whole numbers near the shares that add up to the total: largest remainder, within bounds."""
    given = [min(max(math.floor(share), least), most) for share, least, most in zip(shares, low, high, strict=True)]
    missing = total - sum(given)
    step, bound = (1, high) if missing > 0 else (-1, low)
    queue = [(step * (count - share), index) for index, (count, share) in enumerate(zip(given, shares, strict=True))]
    heapq.heapify(queue)
    while missing:
        lack, index = heapq.heappop(queue)
        if given[index] != bound[index]:
            given[index] += step
            missing -= step
            heapq.heappush(queue, (lack + 1, index))
    return given


def _by_group(labels: Sequence[str], groups: Sequence[str], sizes: Sizes, seed: int) -> Rows:
    members: dict[str, list[int]] = defaultdict(list)
    for row in shuffled(len(labels), "split", seed):
        members[groups[row]].append(row)
    _check_groups(labels, groups, sizes)
    greedy = _Greedy(labels, {name: size for name, size in sizes._asdict().items() if size})
    found = greedy.place({group: Counter(labels[row] for row in rows) for group, rows in members.items()})
    chosen: dict[str, list[int]] = {name: [] for name in Sizes._fields}
    for group, name in found.items():
        chosen[name].extend(members[group])
    _check_classes(labels, chosen)
    return Rows(*(chosen[name] for name in Rows._fields))


def _check_groups(labels: Sequence[str], groups: Sequence[str], sizes: Sizes) -> None:
    needed = [name for name in Rows._fields if getattr(sizes, name)]
    if (count := len(set(groups))) < len(needed):
        raise DataError("data.group", f"{', '.join(needed)} need a group each; found {count}")
    homes: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        homes[label].add(group)
    for label, home in sorted(homes.items()):
        if len(home) < 2:
            seen = f"all rows of class {label!r} stand in group {min(home)!r}"
            raise DataError("data.group", f"{seen}; train and valid need one each")


def _check_classes(labels: Sequence[str], chosen: Mapping[str, Sequence[int]]) -> None:
    for name in ("train", "valid"):
        for label in sorted(set(labels).difference(labels[row] for row in chosen[name])):
            seen = f"dividing by group leaves no row of class {label!r} in {name}"
            raise DataError("data.group", f"{seen}; divide the rows yourself into data.train and data.valid")


class _Greedy:
    """Groups into splits: the largest first, each where it helps most; no split stays empty.

    What is lowered is the squared distance of each class's rows in each split from its share, relative to the class,
    plus that of the split's size, which weighs as much as all classes together.
    """

    def __init__(self, labels: Sequence[str], sizes: Mapping[str, int]) -> None:
        counts: Counter[str | None] = Counter(labels)
        total: dict[str | None, int] = {**counts, None: len(labels)}  # None: rows of whatever class
        self.scale: dict[str | None, float] = {**counts, None: len(labels) / len(counts)}
        self.excess = {
            name: {key: -rows * size / len(labels) for key, rows in total.items()} for name, size in sizes.items()
        }
        self.empty = dict.fromkeys(name for name in sizes if name != "unused")

    def place(self, groups: Mapping[str, Counter[str | None]]) -> dict[str, str]:
        """The split of each group, given its rows by class."""
        by_size = sorted(groups, key=lambda group: -groups[group].total())
        return {group: self._place(groups[group], len(groups) - index) for index, group in enumerate(by_size)}

    def _place(self, counts: Mapping[str | None, int], left: int) -> str:
        weight = {**counts, None: sum(counts.values())}
        names = list(self.empty if len(self.empty) >= left else self.excess)
        best = min(names, key=lambda name: self._cost(weight, name))
        self.empty.pop(best, None)
        for key, rows in weight.items():
            self.excess[best][key] += rows
        return best

    def _cost(self, weight: Mapping[str | None, int], name: str) -> float:
        excess = self.excess[name]
        # fsum: what sum() of floats gives depends on Python's version
        return math.fsum(rows * (rows + 2 * excess[key]) / self.scale[key] for key, rows in weight.items())
