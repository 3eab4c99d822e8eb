"""Studies under other names, and budgets that grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import pytest
from sqlalchemy import text
from support import wait_until

from hpo import changing
from hpo import spec as studies
from hpo.attempts import Claim, Worker
from hpo.claims import Nothing
from hpo.config import Config
from hpo.errors import SpecError, StudyError
from hpo.running import RunningTrial, Study
from hpo.spec import StudySpec
from hpo.store import CREATE_LOCK, Store
from objectives.evaluation import Evaluation

Run = Callable[..., Any]
TREE = {
    "study": "old",
    "objective": {"simulated": {}},
    "search": {"simulated.dropout": {"low": 0.0, "high": 0.5}},
    "sampler": "random",
    "pruner": "asha",
    "trials": 4,
}


def begun(store: Store, study: str = "old", name: str = "one") -> RunningTrial:
    spec, claim = store.claim(study, Worker(name, "here", 1, 60.0))
    assert isinstance(claim, Claim)
    return Study(store, study).begin(claim, spec)


def finish(trial: RunningTrial, value: float = 0.5) -> None:
    trial.report(Evaluation(1, 1.0, {"val_loss": value}))
    trial.finish("complete")


def rows(store: Store, statement: str) -> list[Any]:
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def create(store: Store, **changes: Any) -> None:
    store.create(StudySpec.from_dict(TREE | changes))


def test_a_renamed_study_goes_on_under_its_new_name(store: Store, run: Run, config: Config) -> None:
    create(store)
    finish(begun(store))
    (config.logs / "old").mkdir(parents=True)
    found = run("rename", "-s", "old", "new")
    assert (found.code, found.out, found.err) == (0, "", "old is new now\n")
    assert (store.plan("new").spec.study, store.plan("new").made) == ("new", 1)
    assert rows(store, "SELECT study, spec ->> 'study', complete FROM hpo.studies") == [("new", "new", 1)]
    assert [path.name for path in config.logs.iterdir()] == ["new"]
    finish(begun(store, "new"))
    assert rows(store, "SELECT number FROM hpo.trials WHERE study = 'new' ORDER BY 1") == [(0,), (1,)]
    with pytest.raises(StudyError, match="no such study"):
        store.plan("old")
    create(store)
    assert store.plan("old").made == 0


def test_a_name_that_is_taken_is_refused(store: Store, run: Run) -> None:
    create(store)
    create(store, study="new")
    line = "Error: new: there is a study of this name already; choose another one\n"
    for command in ("rename", "copy"):
        found = run(command, "-s", "old", "new")
        assert (found.code, found.out, found.err) == (1, "", line)


def test_a_foreign_studys_name_is_taken(store: Store) -> None:
    create(store)
    storage = store.storage
    optuna.create_study(storage=storage, study_name="foreign").ask()
    storage.engine.dispose()
    with pytest.raises(StudyError, match="foreign: there is a study of this name already"):
        changing.rename(store, "old", "foreign")


@pytest.mark.parametrize(("name", "said"), [("a b", "study: 'a b' has ' ' in it"), ("a@b", "'a@b")])
def test_a_name_that_can_be_none_is_refused(store: Store, name: str, said: str) -> None:
    create(store)
    for change in (changing.rename, changing.copy):
        with pytest.raises(SpecError, match=said):
            change(store, "old", name)  # type: ignore[operator]


def test_a_study_is_not_renamed_under_running_trials(store: Store) -> None:
    create(store)
    trial = begun(store)
    with pytest.raises(StudyError, match="old: 1 of its trials are running; stop the launch or its workers first"):
        changing.rename(store, "old", "new")
    store.release(trial.claim)
    changing.rename(store, "old", "new")
    again = begun(store, "new", "two")
    assert (again.claim.number, again.params) == (0, trial.params)


@pytest.mark.parametrize("change", [changing.rename, changing.copy])
def test_what_a_launch_changes_meanwhile_is_not_undone(store: Store, change: Callable[..., Any]) -> None:
    create(store)
    other = Store(store.database)
    changed = "UPDATE hpo.plans SET budget = 40, spec = jsonb_set(spec::jsonb, '{trials}', '40')::json"
    here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    waiting = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = {here}"
    with store.engine.begin() as launch:
        launch.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATE_LOCK})
        thread = Thread(target=change, args=(other, "old", "new"))
        thread.start()
        wait_until(lambda: launch.scalar(text(waiting)) == 1)
        launch.execute(text(changed))
    thread.join()
    other.close()
    assert store.plan("new").spec.trials == 40


def test_a_worker_that_waits_follows_a_renamed_study(store: Store) -> None:
    create(store)
    plan, trials = store.plan("old"), Study(store, "old")
    changing.rename(store, "old", "new")
    trials.reload()
    spec, claim = store.claim(plan.study_id, Worker("one", "here", 1))
    assert isinstance(claim, Claim)
    finish(trials.begin(claim, spec))
    assert rows(store, "SELECT study, complete FROM hpo.studies") == [("new", 1)]


def test_a_copy_begins_anew(store: Store, run: Run) -> None:
    create(store, enqueue=[{"simulated.dropout": 0.25}])
    finish(begun(store))
    found = run("copy", "-s", "old", "new")
    assert (found.code, found.out, found.err) == (0, "", "copied; run it with: hpo launch -s new\n")
    counts = "SELECT study, trials, made, complete, waiting FROM hpo.studies ORDER BY study"
    assert rows(store, counts) == [("new", 4, 0, 0, 1), ("old", 4, 0, 1, 0)]
    assert studies.differences(store.plan("old").spec, store.plan("new").spec) == []


EVERYTHING = (
    "SELECT number, state, value, best_value, best_step, params::text, metrics::text, attempts, outcome, error, "
    "trainable_parameters, settings::text, facts::text, seconds::text, started, finished "
    "FROM hpo.trials WHERE study = '{}' ORDER BY number"
)
CURVES = "SELECT number, step, attempt, value, metrics::text, prune, recorded FROM hpo.learning_curves WHERE study = "
ATTRIBUTES = (
    "SELECT number, key, value_json FROM trial_system_attributes JOIN trials USING (trial_id) "
    "JOIN studies USING (study_id) WHERE study_name = '{}' ORDER BY 1, 2"
)


def test_a_copy_with_all_trials_is_the_same_study(store: Store, config: Config) -> None:
    create(store, trials=3, pruner="none")
    begun(store, name="fails").finish("fail", error="ValueError: no", place="ValueError at x:1")
    for number in range(2):
        finish(begun(store, name=f"w{number}"), 0.3 + number)
    changing.copy(store, "old", "new", trials_too=True)
    assert rows(store, EVERYTHING.format("new")) == rows(store, EVERYTHING.format("old"))
    assert len(rows(store, f"{CURVES}'new'")) == 2
    for statement in (f"{CURVES}'{{}}' ORDER BY 1, 2", ATTRIBUTES):
        assert rows(store, statement.format("new")) == rows(store, statement.format("old"))
    assert store.plan("new").made == 3
    assert store.claim("new", Worker("late", "here", 1))[1] is Nothing.DONE
    best = [optuna.load_study(study_name=name, storage=store.storage).best_value for name in ("old", "new")]
    assert best == [0.3, 0.3]
    store.delete("old")
    assert len(rows(store, EVERYTHING.format("new"))) == 3


def test_a_copy_goes_on_with_what_runs_there(store: Store) -> None:
    """The trial in hand is here a released one: the same number and parameters, for another worker."""
    create(store)
    there = begun(store)
    there.report(Evaluation(1, 1.0, {"val_loss": 0.4}))
    Study(store, "old").optuna.ask()  # another program's
    store.enqueue("old", [{"simulated.dropout": 0.125}])
    changing.copy(store, "old", "new", trials_too=True)
    states = "SELECT number, state, activity FROM hpo.trials WHERE study = 'new' ORDER BY number"
    assert rows(store, states) == [(0, "RUNNING", "paused"), (1, "FAIL", None), (2, "WAITING", None)]
    here = begun(store, "new", "two")
    assert (here.claim.number, here.claim.attempt, here.claim.last_step) == (0, 2, 1)
    assert here.params == there.params
    assert begun(store, "new", "three").params == {"simulated.dropout": 0.125}
    assert store.plan("new").made == 1
    there.finish("complete")
    assert rows(store, "SELECT state FROM hpo.trials WHERE study = 'old' AND number = 0") == [("COMPLETE",)]


def test_a_copied_grid_gives_the_rest_of_its_points(store: Store) -> None:
    create(store, sampler="grid", search={"simulated.dropout": [0.1, 0.2, 0.3]}, trials=None)
    finish(begun(store))
    changing.copy(store, "old", "new", trials_too=True)
    left = [begun(store, "new", f"w{number}").params["simulated.dropout"] for number in range(2)]
    assert left == [0.2, 0.3]


TEXT = """
study: toy
objective: {simulated: {}}
search: {simulated.dropout: {choices: [0.1, 0.2, 0.3, 0.4]}}
sampler: SAMPLER
pruner: none
trials: 2
"""


@pytest.fixture
def launch(run: Run, tmp_path: Path) -> Run:
    """`hpo launch` of a study with two trials."""

    def launch(*options: str, sampler: str = "random") -> Any:
        path = tmp_path / "toy.yaml"
        path.write_text(TEXT.replace("SAMPLER", sampler))
        return run("launch", "-s", str(path), *options)

    return launch


def budget(store: Store) -> tuple[int, int]:
    plan = store.plan("toy")
    return plan.spec.trials, plan.made


def test_trials_sets_the_budget_and_adds_to_it(store: Store, launch: Run, tmp_path: Path) -> None:
    assert launch("--trials", "1").code == 0
    assert budget(store) == (1, 1)
    assert launch("--trials", "+2").code == 0
    assert budget(store) == (3, 3)
    done = launch()  # the file says two
    assert budget(store) == (2, 3)
    assert done.err.splitlines()[0] == (
        f"toy is complete: 2 trials. Extend it: hpo launch -s {tmp_path}/toy.yaml --trials +8"
    )
    assert launch("--trials", "+1").code == 0
    assert budget(store) == (4, 4)


def test_nothing_is_added_to_a_study_that_is_not_there(launch: Run) -> None:
    found = launch("--trials", "+20")
    line = "Error: toy: no such study in the database to add trials to; give --trials 20\n"
    assert (found.code, found.out, found.err) == (1, "", line)


def test_a_grid_grows_no_further_than_its_points(store: Store, launch: Run) -> None:
    assert launch(sampler="grid").code == 0
    for options in (["--trials", "+3"], ["--trials", "5"]):
        found = launch(*options, sampler="grid")
        assert (found.code, found.err.count("\n")) == (1, 1)
        assert "trials: 5 is above the grid's 4 points" in found.err
    assert launch("--trials", "+2", sampler="grid").code == 0
    assert budget(store) == (4, 4)


@pytest.mark.parametrize("options", [["--trials", "0"], ["--trials", "+0"], ["--trials", "-1"], ["--trials", "many"]])
def test_what_is_no_budget_is_wrong_usage(launch: Run, options: list[str]) -> None:
    found = launch(*options)
    assert (found.code, found.out) == (2, "")
    assert f"{options[1]!r} is neither a number of trials, such as 30, nor one to add, such as +20" in found.err


def test_two_budgets_are_wrong_usage(launch: Run) -> None:
    found = launch("--trials", "3", "--set", "trials=4")
    assert found.code == 2
    assert "--trials and --set trials say the same; give one of them" in found.err


@pytest.mark.parametrize("words", [["--trials", "+2"], ["--trials=+2"]])
def test_a_detached_launch_adds_once(store: Store, hpo: Run, launch: Run, tmp_path: Path, words: list[str]) -> None:
    launch()
    hpo("launch", "-s", str(tmp_path / "toy.yaml"), *words, "--detach")
    wait_until(lambda: budget(store)[1] >= 4)
    assert budget(store) == (4, 4)
