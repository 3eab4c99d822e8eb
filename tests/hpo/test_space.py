"""The search space: what is asked of Optuna, what lies in a range, the points of a grid."""

import itertools
import math
from typing import Any

import optuna
import pytest

from hpo import ranges, search, space
from hpo.space import Categorical, Float, Int, Range
from objectives.settings import Settings, get, parse, replace

TRANSFER = parse({"task": "text-classification", "data": "rows.csv"})
RANGES: dict[str, Range] = {
    "plain": Float(0.0, 0.3),
    "log": Float(1e-5, 1e-3, log=True),
    "stepped": Float(0.0, 0.3, step=0.1),
    "spaced": Float(1e-5, 1e-3, log=True, points=3),
    "whole": Int(1, 4),
    "even": Int(2, 10, step=4),
    "magnitude": Int(1, 1000, log=True),
    "some": Int(1, 1000, log=True, points=4),
    "words": Categorical(("adam", None, True, 3, 0.5)),
}
SHARES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.999, 1 - 2**-53]


def test_parameters_are_asked_for_in_the_order_of_the_file() -> None:
    asked: list[tuple[Any, ...]] = []

    class Trial:
        def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
            asked.append(("float", name, low, high, options))
            return low

        def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
            asked.append(("int", name, low, high, options))
            return low

        def suggest_categorical(self, name: str, choices: Any) -> Any:
            asked.append(("categorical", name, choices))
            return choices[0]

    three: dict[str, Range] = {"z": Float(0.0, 0.2, step=0.1), "a": Int(1, 9, log=True), "m": Categorical(("x", None))}
    assert space.suggest(three, Trial()) == {"z": 0.0, "a": 1, "m": "x"}
    assert asked == [
        ("float", "z", 0.0, 0.2, {"step": 0.1, "log": False}),
        ("int", "a", 1, 9, {"step": 1, "log": True}),
        ("categorical", "m", ("x", None)),
    ]


def test_distributions_are_what_suggest_asks_for() -> None:
    trial = optuna.create_study().ask()
    space.suggest(RANGES, trial)
    assert trial.distributions == search.distributions(RANGES)


@pytest.mark.parametrize("name", RANGES)
def test_every_place_of_a_range_lies_in_it(name: str) -> None:
    range_ = RANGES[name]
    distribution = search.distributions({name: range_})[name]
    for value in (range_.at(share) for share in SHARES):
        assert value in range_
        trial = optuna.trial.create_trial(params={name: value}, distributions={name: distribution}, value=0.0)
        assert trial.params == {name: value}


def test_the_ends_of_a_range_are_reached() -> None:
    last = SHARES[-1]
    assert (Int(1, 4).at(0.0), Int(1, 4).at(last)) == (1, 4)
    assert (Int(1, 1000, log=True).at(0.0), Int(1, 1000, log=True).at(last)) == (1, 1000)
    assert (Float(1e-5, 1e-3, log=True).at(0.0), Float(0.0, 0.3, step=0.1).at(last)) == (1e-5, 0.3)
    assert Float(0.6, 0.79, log=True).at(last) == 0.79  # where rounding would step over
    assert [Categorical(("a", "b", "c")).at(share) for share in (0.0, 0.4, last)] == ["a", "b", "c"]


def test_a_log_range_is_even_in_the_logarithm() -> None:
    assert math.isclose(Float(1e-5, 1e-3, log=True).at(0.5), 1e-4)
    assert Int(1, 1000, log=True).at(0.5) == 22  # sqrt(0.5 * 1000.5), as Optuna spreads whole numbers


def test_whole_numbers_are_equally_likely() -> None:
    found = [Int(1, 4).at(index / 100) for index in range(100)]
    assert [found.count(value) for value in (1, 2, 3, 4)] == [25] * 4


def test_a_point_does_not_depend_on_the_order_of_the_file() -> None:
    two: dict[str, Range] = {"b": Int(1, 10), "a": Float(0.0, 1.0)}
    assert space.place(two, [0.25, 0.5]) == {"a": 0.25, "b": 6}


@pytest.mark.parametrize(
    ("range_", "values"),
    [
        (Float(0.0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Float(0.0, 0.3, points=3), [0.0, 0.15, 0.3]),
        (Float(1e-5, 1e-1, log=True, points=5), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
        (Float(1e-6, 1e-1, log=True, points=6), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
        (Float(0.1, 0.7, points=4), [0.1, 0.3, 0.5, 0.7]),
        (Int(1, 4), [1, 2, 3, 4]),
        (Int(2, 10, step=4), [2, 6, 10]),
        (Int(1, 1000, log=True, points=4), [1, 10, 100, 1000]),
        (Int(0, 6, points=3), [0, 3, 6]),
        (Categorical(("b", None, "a")), ["b", None, "a"]),
    ],
)
def test_values_of_a_grid(range_: Range, values: list[object]) -> None:
    assert list(space.values(range_)) == values
    assert all(value in range_ for value in values)


def test_the_points_of_a_grid_stand_in_a_fixed_order() -> None:
    two: dict[str, Range] = {"b": Categorical(("x", "y")), "a": Int(1, 2)}
    expected = [{"b": b, "a": a} for b, a in itertools.product("xy", (1, 2))]
    assert space.grid(two) == expected
    assert space.points(two) == 4
    assert space.points(two | {"c": Float(0.0, 1.0)}) is None


def test_a_point_of_a_grid_comes_back_from_optuna_unchanged() -> None:
    study = optuna.create_study()
    countable = {name: range_ for name, range_ in RANGES.items() if range_.count and name != "magnitude"}
    for point in space.grid(countable)[::97]:
        study.enqueue_trial(point)
        assert space.suggest(countable, study.ask()) == point


@pytest.mark.parametrize(
    ("range_", "value", "inside"),
    [
        (Float(0.0, 0.5), 0.5, True),
        (Float(0.0, 0.5), 0, True),
        (Float(0.0, 0.5), 0.6, False),
        (Float(0.0, 0.5), math.nan, False),
        (Float(0.0, 0.5, step=0.1), math.inf, False),
        (Float(0.0, 1.0), True, False),
        (Float(0.0, 0.5), "0.1", False),
        (Float(0.0, 0.5, step=0.1), 0.3, True),
        (Float(0.0, 0.5, step=0.1), 0.1 + 2 * 0.1, True),
        (Float(1e-5, 1e-4, step=1e-5), 1e-5 + 6 * 1e-5, True),
        (Float(0.0, 0.5, step=0.1), 0.25, False),
        (Int(1, 9, step=2), 3, True),
        (Int(1, 9, step=2), 4, False),
        (Int(1, 9), 10, False),
        (Int(1, 9), 3.0, False),
        (Int(0, 1), True, False),
        (Categorical((None, "a", 1)), None, True),
        (Categorical((None, "a", 1)), True, False),
        (Categorical((None, "a", 1)), "b", False),
    ],
)
def test_what_lies_in_a_range(range_: Range, value: object, inside: bool) -> None:
    assert (value in range_) is inside


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_written_as_it_is_read(name: str) -> None:
    text = ranges.written(RANGES[name])
    settings: dict[str, str] = {"words": "simulated.fail_at"}
    if name == "words":
        assert text == {"choices": ["adam", None, True, 3, 0.5]}
        return
    address = settings.get(name, "training.seed" if isinstance(RANGES[name], Int) else "training.momentum")
    assert ranges.parse({address: text}, TRANSFER)[address] == RANGES[name]
    assert {"log", "step", "points"}.isdisjoint(text) or name not in ("plain", "whole")


@pytest.mark.parametrize(
    ("address", "text", "expected"),
    [
        ("training.learning_rate", {"low": 1, "high": 2}, Float(1.0, 2.0)),
        ("model.dropout", {"low": 0, "high": 0.5}, Float(0.0, 0.5)),
        ("model.dropout", [None, 0], Categorical((None, 0.0))),
        ("training.early_stopping_patience", {"low": 1, "high": 2}, Int(1, 2)),
        ("training.seed", {"low": 0, "high": 4}, Int(0, 4)),
        ("model.name", ["a", "no"], Categorical(("a", "no"))),
        ("model.pretrained", [True, False], Categorical((True, False))),
        ("data.text", ["title"], Categorical(("title",))),
        ("data.max_length", {"low": 16, "high": 64, "step": 16}, Int(16, 64, step=16)),
    ],
)
def test_the_setting_decides_the_kind_of_range(address: str, text: object, expected: Range) -> None:
    found = ranges.parse({address: text}, TRANSFER)[address]
    assert found == expected
    assert all(type(a) is type(b) for a, b in zip(vars(found).values(), vars(expected).values(), strict=True))


def _searchable(settings: Settings, address: str) -> bool:
    try:
        ranges.parse({address: [get(settings, address)]}, settings)
    except Exception as error:
        return "do not compare" not in str(error)
    return True


def test_what_makes_trials_incomparable_is_not_searched() -> None:
    settings = replace(TRANSFER, {"data.group": "owner"})
    names = [f"data.{n}" for n in ("path", "hub", "config", "revision", "train", "valid", "test", "group", "label")]
    names += [f"data.split.{name}" for name in ("train", "valid", "test")] + ["task.kind"]
    assert [name for name in names if _searchable(settings, name)] == []
    assert _searchable(settings, "data.text")
    assert _searchable(settings, "data.max_length")
