"""What a new study takes over from earlier ones: which, which of their points, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from moves import claimed, rows, spec

from hpo import warm
from hpo.errors import SpecError, StudyError
from hpo.running import Study
from hpo.spec import Known, StudySpec
from hpo.store import Store

RATE, SIZE = "simulated.learning_rate", "simulated.batch_size"

SEARCH = {
    RATE: {"low": 1e-5, "high": 1e-1, "log": True},
    SIZE: [8, 16],
    "simulated.optimizer": ["adamw", "sgd"],
}


def study(name: str, **changes: Any) -> dict[str, Any]:
    kept = spec(study=name).to_dict()
    return {"study": name, "complete": 5, "metric": "val_loss", "direction": "minimize", "spec": kept} | changes


def trial(number: int, value: float, rate: float, **changes: Any) -> dict[str, Any]:
    params = {RATE: rate, SIZE: 8, "simulated.optimizer": "sgd"}
    return {"number": number, "state": "COMPLETE", "value": value, "params": params} | changes


def known(past: dict[str, list[dict[str, Any]]], wanted: StudySpec, **studies: dict[str, Any]) -> list[str]:
    all_of_them = [studies.get(name, study(name)) for name in past]
    return [str(point) for point in warm.started(wanted, all_of_them, lambda name: past[name]).known]


def test_the_best_of_each_study_in_turn_the_newer_first() -> None:
    past = {
        "old": [trial(0, 0.5, 1e-2), trial(1, 0.3, 1e-3), trial(2, 0.4, 2e-3)],
        "new": [trial(0, 0.9, 3e-3), trial(1, 0.7, 4e-3), trial(2, 0.8, 5e-3)],
    }
    said = known(past, spec(warm_start="auto"))
    assert said == ["trial 1 of new", "trial 1 of old", "trial 2 of new", "trial 2 of old"]


def test_a_point_that_is_tried_anyway_is_not_taken_over() -> None:
    wanted = spec(warm_start="old", search=SEARCH, enqueue_defaults=True)
    own = {"number": 0, "state": "COMPLETE", "value": 0.1, "params": wanted.defaults}
    assert known({"old": [own, trial(1, 0.3, 1e-3)]}, wanted) == ["trial 1 of old"]
    assert known({"old": [own]}, wanted) == []


def test_what_earlier_trials_do_not_have_is_drawn() -> None:
    """Also where null is one of the choices: an address that is not there is no null."""
    search = {**SEARCH, "simulated.fail_at": [None, 9]}
    assert known({"old": [trial(0, 0.3, 1e-3)]}, spec(warm_start="old", search=search)) == ["trial 0 of old"]


def test_another_direction_of_a_metric_has_no_best_to_give() -> None:
    with pytest.raises(StudyError, match="has no complete trial of this metric"):
        known({"old": [trial(0, 0.3, 1e-3)]}, spec(warm_start="old"), old=study("old", direction="maximize"))


def test_functions_of_ones_own_are_told_apart() -> None:
    def tree(function: str) -> dict[str, Any]:
        return {"objective": {"python": {"function": function, "rate": 0.5}}, "search": {"python.rate": [0.5, 1.0]}}

    wanted = spec(warm_start="auto", **tree("mine:tune"))
    for function, count in (("mine:tune", 1), ("mine:other", 0)):
        other = study("old", spec=spec(study="old", **tree(function)).to_dict())
        past = {"old": [trial(0, 0.3, 1e-3, params={"python.rate": 1.0})]}
        assert len(known(past, wanted, old=other)) == count


def test_what_is_higher_is_better_where_the_metric_says_so() -> None:
    past = {"old": [trial(0, 0.5, 1e-2), trial(1, 0.3, 1e-3)]}
    wanted = spec(warm_start="auto", metric="accuracy")
    assert known(past, wanted, old=study("old", metric="accuracy", direction="maximize"))[0] == "trial 0 of old"


@pytest.mark.parametrize(
    "changes",
    [
        {"complete": 2},
        {"study": "old@promote"},
        {"metric": "accuracy", "direction": "maximize"},
        {"spec": {"objective": {"task": {"kind": "text-classification"}, "model": {"name": "minilm"}}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_studies_that_are_not_alike_are_left_out(changes: dict[str, Any]) -> None:
    past = {"old": [trial(0, 0.5, 1e-2)]}
    assert known(past, spec(warm_start="auto"), old=study("old")) == ["trial 0 of old"]
    assert known(past, spec(warm_start="auto"), old=study("old", **changes)) == []


def test_the_same_model_comes_first() -> None:
    def fine(model: str) -> dict[str, Any]:
        return {"objective": {"task": {"kind": "text-classification"}, "model": {"name": model}}}

    wanted = spec(warm_start="auto")
    order = warm._related(wanted, [study("a"), study("b")])
    assert [row["study"] for row in order] == ["b", "a"]
    tuned = [study("a", spec=fine("minilm")), study("b", spec=fine("bert-base"))]
    like = type("Wanted", (), {**vars(wanted), "direction": "minimize", "to_dict": lambda self: fine("minilm")})()
    assert [row["study"] for row in warm._related(like, tuned)] == ["a", "b"]


def test_values_beyond_the_ranges_are_left_to_the_sampler_and_points_that_say_too_little_are_left_out() -> None:
    far = trial(0, 0.1, 5.0)
    stranger = trial(1, 0.2, 5.0, params={RATE: 5.0, SIZE: 7, "simulated.optimizer": "sgd"})
    pruned = trial(2, 0.05, 1e-3, state="PRUNED")
    again = trial(3, 0.3, 7.0)
    wanted = spec(warm_start="auto", search=SEARCH)
    found = warm.started(wanted, [study("old")], lambda _: [far, stranger, pruned, again]).known
    assert found == (Known("old", 0, {SIZE: 8, "simulated.optimizer": "sgd"}),)


def test_a_study_by_name_is_there_and_has_something_to_give() -> None:
    past = {"old": [trial(0, 0.5, 1e-2)], "newer": [trial(0, 0.4, 1e-3)]}
    assert known(past, spec(warm_start="old")) == ["trial 0 of old"]
    with pytest.raises(StudyError, match=r"toy: warm_start: no study odl in this database; did you mean old\?"):
        known(past, spec(warm_start="odl"))
    with pytest.raises(StudyError, match="old has no complete trial of this metric whose values"):
        known({"old": []}, spec(warm_start="old"))


def test_a_grid_takes_over_nothing() -> None:
    with pytest.raises(SpecError, match="warm_start: a grid runs its own points only; remove it"):
        spec(sampler="grid", search={SIZE: [8, 16]}, warm_start="auto", trials=None)


def test_known_points_follow_the_defaults_within_the_budget_and_stay(store: Store) -> None:
    first = StudySpec.from_dict(
        spec(trials=3, warm_start="auto").to_dict()
        | {
            "known": [
                {"study": "old", "trial": 4, "params": {RATE: 2e-3}},
                {"study": "old", "trial": 2, "params": {SIZE: 8}},
            ]
        }
    )
    store.create(first)
    store.create(spec(trials=4, warm_start="auto"))  # launched again: what is known was settled when it was made
    kept = store.plan("toy").spec
    assert kept.known == first.known
    drawn = []
    for number in range(4):
        claim = claimed(store, f"w{number}")
        drawn.append(Study(store, "toy").begin(claim, kept).params)
    assert drawn[0] == kept.defaults
    assert (drawn[1][RATE], drawn[2][SIZE]) == (2e-3, 8)
    assert rows(store, "SELECT count(*) FROM trials") == [(4,)]


def test_a_launch_says_what_it_takes_over(run: Run, toy_file: Path) -> None:
    launch = ("launch", "-s", str(toy_file), "--set", "warm_start=auto")
    assert "warm start: no earlier study of this database is like it\n" in run(*launch).err
    found = run(*launch, "--as", "second")
    assert "warm start: trial " in found.err
    status = json.loads(run("trials", "-s", "second", "--json").out)
    best = json.loads(run("best", "-s", "toy", "--json").out)
    assert best["params"] in [one["params"] for one in status[:2]]
    assert status[0]["params"] != status[1]["params"]
    assert len(status) == 3
    assert "warm start" not in run(*launch, "--as", "second", "--trials", "+1").err
    changed = run(*launch, "--as", "second", "--set", "warm_start=off")
    assert (changed.code, 'warm_start: "auto" -> "off"' in changed.err) == (1, True)
