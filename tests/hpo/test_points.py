"""Points that a study file lists: each is run once, with all that is searched beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo import spec
from hpo.errors import SpecError
from hpo.listed import space
from hpo.space import Categorical
from hpo.spec import StudySpec
from objectives.settings import get

PETS = """\
study: pets
objective: {task: text-classification, model: tiny, data: pets.csv}
"""
POINTS = "points: [{}, {training.learning_rate: 1e-3}, {model.dropout: null}]\n"
SEEDS = "search: {training.seed: [1, 2]}\n"
Listed = Callable[..., StudySpec]


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    """The study that lists what this text says."""

    def load(text: str, *overrides: str) -> StudySpec:
        (tmp_path / "pets.yaml").write_text(PETS + text, encoding="utf-8")
        return spec.load(tmp_path / "pets.yaml", overrides)

    return load


def test_points_are_filled_up_with_the_objectives_own_values(listed: Listed) -> None:
    found = listed(POINTS, "model.dropout=0.2")
    own = {"training.learning_rate": 5e-5, "model.dropout": 0.2}
    assert list(found.points) == [own, own | {"training.learning_rate": 1e-3}, own | {"model.dropout": None}]
    assert found.search == {
        "training.learning_rate": Categorical((5e-5, 1e-3)),
        "model.dropout": Categorical((0.2, None)),
    }
    assert (found.sampler.kind, found.trials, found.enqueue_defaults) == ("grid", 3, False)


def test_each_point_meets_all_that_is_searched_beside_it(listed: Listed) -> None:
    points = "points: [{}, {training.learning_rate: 1e-3}]\n"
    found = listed(points + "search: {training.seed: [1, 2], training.batch_size: {low: 8, high: 16, step: 8}}\n")
    assert [tuple(point.values()) for point in found.points] == [
        (seed, rows, rate) for seed in (1, 2) for rows in (8, 16) for rate in (5e-5, 1e-3)
    ]
    assert list(found.search) == ["training.seed", "training.batch_size", "training.learning_rate"]
    assert found.trials == 8
    assert listed(points + SEEDS, "search.training.seed=[3, 4, 5]").trials == 6


def test_a_queued_point_has_the_objectives_own_values_where_it_names_none(listed: Listed) -> None:
    points = "points: [{}, {training.learning_rate: 1e-3}]\nsearch: {training.seed: [1, 2]}\n"
    found = listed(points + "enqueue: [{training.seed: 2}]\n")
    assert found.enqueue == ({"training.seed": 2, "training.learning_rate": 5e-5},)
    asked = ["training.learning_rate=1e-3", "training.seed=1"]
    assert spec.point(found, asked) == {"training.seed": 1, "training.learning_rate": 1e-3}
    with pytest.raises(
        SpecError, match=r"training\.seed: the objective's own, null, is not in the list; name one of 1, 2"
    ):
        spec.point(found, asked[:1])
    for twice, message in (
        (asked + asked[1:], r"training\.seed=1: training\.seed is given twice; leave one out"),
        (["training.seed=1.5"], r"study [\w-]+: training\.seed: 1\.5 is outside"),
    ):
        with pytest.raises(SpecError, match=message):
            spec.point(found, twice)
    with pytest.raises(SpecError, match=r"enqueue\.0\.training\.seed: the objective's own"):
        listed(points + "enqueue: [{}]\n")


def test_settings_that_need_each_other_stand_in_one_point(listed: Listed) -> None:
    found = listed("points: [{model.head.hidden: 8, model.pooling: mean}, {}]\n")
    assert found.points[0] == {"model.head.hidden": 8, "model.pooling": "mean"}
    with pytest.raises(SpecError, match=r"points\.1: model: head\.hidden belongs to a pooling"):
        listed("points: [{}, {model.head.hidden: 8}]\n")


@pytest.mark.parametrize("beside", ["", SEEDS])
def test_points_come_back_from_the_database_and_from_check(listed: Listed, tmp_path: Path, beside: str) -> None:
    found = listed(POINTS + beside, "model.dropout=0.2")
    assert StudySpec.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    (tmp_path / "again.yaml").write_text(spec.render(found))
    assert spec.load(tmp_path / "again.yaml") == found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (SEEDS, "search: {training.seed: [1, 2, 3]}\n", "6 -> 9, with {first} and 2 more"),
        ("", "trials: 2\n", None),
        ("search: {training.seed: [3, 1]}\n", "search: {training.seed: [1, 3]}\n", "6 -> 6, in another order"),
        (
            "search: {training.seed: [1, 3]}\n",
            "search: {training.seed: [3]}\n",
            '6 -> 3, without {"training.seed": 1, "training.learning_rate": 5e-05, "model.dropout": 0.2} and 2 more',
        ),
    ],
)
def test_points_that_make_another_study_are_counted(listed: Listed, old: str, new: str, said: str | None) -> None:
    first = '{"training.seed": 3, "training.learning_rate": 5e-05, "model.dropout": 0.2}'
    before, after = (listed(POINTS + text, "model.dropout=0.2") for text in (old, new))
    assert spec.differences(before, after) == ([f"points: {said.replace('{first}', first)}"] if said else [])


def test_a_value_is_told_once_and_true_is_not_one() -> None:
    found = space([{"x": value} for value in (2, True, 1, 2, None, 1.0)])["x"].choices
    assert [repr(value) for value in found] == ["2", "True", "1", "None"]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("[{training.learning_rat: 1}]", "points.0.training.learning_rat: unknown setting; did you mean training.le"),
        ("[{}, {training.batch_size: 0}]", "points.1.training.batch_size: 0 is too low; it must be at least 1"),
        ("[{data.path: a.csv}]", "points.0.data.path: cannot be searched: trials on other rows"),
        ("[{training.batch_size: 8}, {training.batch_size: 8}]", "points.1: is points.0 again; remove one"),
        ("[{training.epochs: 1}]", "points: training.epochs: a pruner compares trials of one length"),
        ("[{training.warmup_ratio: 0.1, training.warmup_steps: 2}]", "points.0: training: warmup_ratio and warmup"),
        ("[3]", "points: 3 is not a mapping of settings"),
        ("[{}]\nsampler: random", "sampler: points run as they are listed, nothing is drawn; remove sampler"),
        ("[{}]\ntrials: 2", "trials: 2 is above the list's 1 points; remove trials"),
        ("[{}]\nenqueue_defaults: true", "enqueue_defaults: a list runs its own points only; remove it"),
        ("[]", "search: is missing; add it, or points"),
        (
            "[{training.batch_size: 8}]\nsearch: {training.batch_size: [8]}",
            "search.training.batch_size: points name it, too; keep one of them",
        ),
        (
            "[{}]\nsearch: {model.dropout: {low: 0, high: 0.5}}",
            "search.model.dropout: a grid needs choices, step or points",
        ),
        (
            "[{}, {model.dropout: 0.1}]\nsearch: {training.seed: {low: 1, high: 60000}}",
            "search: the grid has 120000 points; at most 100000 are tried",
        ),
        (
            "[{training.warmup_ratio: 0.0}, {training.warmup_ratio: 0.1}]\nsearch: {training.warmup_steps: [0, 2]}",
            "points.1: training: warmup_ratio and warmup",
        ),
    ],
)
def test_points_that_cannot_be_listed(listed: Listed, points: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        listed(f"points: {points}\n")
    assert said in str(refused.value)


@pytest.mark.parametrize(("override", "divided"), [("seed=7", 7), ("training.seed=5", 5), ("data.split.seed=3", 3)])
def test_trials_of_several_seeds_have_the_same_rows(listed: Listed, override: str, divided: int) -> None:
    found = listed("points: [{}, {training.learning_rate: 1e-3}]\n" + SEEDS, override)
    made = [spec.settings_for(found, {"training.seed": seed}) for seed in (1, 2)]
    assert [get(one, "training.seed") for one in made] == [1, 2]
    assert [get(one, "data.split.seed") for one in made] == [divided, divided]
