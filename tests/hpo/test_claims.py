"""Budgets, grid points, and how trials end, on a real database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from moves import TREE, claimed, count, spec, worker
from sqlalchemy import Connection, text

from hpo import claims
from hpo.attempts import Claim
from hpo.claims import Nothing
from hpo.errors import StudyError
from hpo.running import Study
from hpo.store import Plan, Store
from objectives.evaluation import Evaluation


def finish(store: Store, claim: Claim, study: str = "toy") -> None:
    trial = Study(store, study).begin(claim, store.plan(study).spec)
    trial.report(Evaluation(1, 1.0, {"val_loss": 0.5}))
    trial.finish("complete")


def test_claims_make_exactly_the_budget(store: Store) -> None:
    store.create(spec(trials=5))
    numbers = [claimed(store, f"w{index}").number for index in range(5)]
    assert numbers == [0, 1, 2, 3, 4]
    assert store.claim("toy", worker("late"))[1] is Nothing.WAIT
    assert count(store, "trials") == 5


def test_many_claims_at_once_make_exactly_the_budget(store: Store, url: str) -> None:
    store.create(spec(trials=12))
    stores = [Store(store.database) for _ in range(8)]

    def drain(index: int) -> list[int]:
        found = []
        while isinstance(claim := stores[index].claim("toy", worker(f"w{index}-{len(found)}"))[1], Claim):
            found.append(claim.number)
        stores[index].close()
        return found

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for found in pool.map(drain, range(8)) for number in found]
    assert sorted(numbers) == list(range(12))


def test_a_finished_study_is_done(store: Store) -> None:
    store.create(spec(trials=1))
    finish(store, claimed(store))
    assert store.claim("toy", worker())[1] is Nothing.DONE


def test_a_larger_budget_continues(store: Store) -> None:
    store.create(spec(trials=1))
    finish(store, claimed(store))
    store.create(spec(trials=2))
    assert claimed(store).number == 1


def test_a_grid_gives_each_point_once(store: Store) -> None:
    grid = {"simulated.dropout": {"choices": [0.1, 0.2, 0.3]}, "simulated.batch_size": {"choices": [8, 16]}}
    store.create(spec(search=grid, sampler={"kind": "grid"}, trials=None))
    seen = set()
    for index in range(6):
        claim = claimed(store, f"w{index}")
        trial = Study(store, "toy").begin(claim, store.plan("toy").spec)
        seen.add(tuple(trial.params.values()))
    assert len(seen) == 6
    assert store.claim("toy", worker("late"))[1] is Nothing.WAIT


def test_the_defaults_run_first(store: Store) -> None:
    plan = store.create(
        spec(search={"simulated.dropout": {"low": 0.0, "high": 0.5}, "simulated.batch_size": [8, 16, 32]})
    )
    first = Study(store, "toy").begin(claimed(store), plan.spec)
    assert first.params == {"simulated.dropout": 0.1, "simulated.batch_size": 16}


def test_queued_points_come_on_top_of_the_budget(store: Store) -> None:
    store.create(spec(trials=1, enqueue=[{"simulated.dropout": 0.25}]))
    store.enqueue("toy", [{"simulated.batch_size": 8}])
    study = Study(store, "toy")
    found = [study.begin(claimed(store, f"w{index}"), spec()).params for index in range(3)]
    assert found[0]["simulated.dropout"] == 0.25
    assert found[1]["simulated.batch_size"] == 8
    assert store.claim("toy", worker("late"))[1] is Nothing.WAIT


def test_a_foreign_running_trial_is_counted_and_left_alone(store: Store) -> None:
    store.create(spec(trials=2))
    Study(store, "toy").optuna.ask()
    assert claimed(store).number == 1
    assert claimed(store, "two").number == 2
    assert store.claim("toy", worker("late"))[1] is Nothing.WAIT


def test_a_trial_without_a_finite_value_fails(store: Store) -> None:
    store.create(spec())
    study = Study(store, "toy")
    study.begin(claimed(store), spec()).finish("complete")
    assert study.optuna.trials[0].state.name == "FAIL"


def test_the_same_failure_three_times_stops_the_study(store: Store) -> None:
    store.create(spec(trials=4))
    study = Study(store, "toy")
    for index in range(3):
        study.begin(claimed(store, f"w{index}"), spec(trials=4)).finish(
            "fail", error="ValueError: no", place="ValueError at x:1"
        )
    with pytest.raises(StudyError, match="the first trials all failed with: ValueError: no"):
        store.claim("toy", worker("late"))
    store.create(spec(trials=4))  # a relaunch, after mending
    assert claimed(store).number == 3


def test_different_failures_do_not_stop_the_study(store: Store) -> None:
    store.create(spec(trials=4))
    study = Study(store, "toy")
    for index in range(3):
        study.begin(claimed(store, f"w{index}"), spec(trials=4)).finish(
            "fail", error="no", place=f"ValueError at x:{index}"
        )
    assert claimed(store, "late").number == 3


def test_another_search_under_the_same_name_is_refused(store: Store) -> None:
    store.create(spec())
    with pytest.raises(StudyError, match=r"search.simulated.dropout.high: 0.5 -> 0.6\n.*--as toy-2.*hpo delete"):
        store.create(spec(search={**TREE["search"], "simulated.dropout": {"low": 0.0, "high": 0.6}}))  # type: ignore[dict-item]


def test_a_foreign_study_of_the_same_name_is_refused(store: Store) -> None:
    import optuna

    storage = store.storage
    optuna.create_study(storage=storage, study_name="toy").ask()
    with pytest.raises(StudyError, match="another program made a study of this name"):
        store.create(spec())
    storage.engine.dispose()


def test_deleting_takes_everything_along(store: Store) -> None:
    store.create(spec())
    finish(store, claimed(store))
    store.delete("toy")
    for table in ("studies", "trials", "hpo.plans", "hpo.attempts", "hpo.metrics", "hpo.results", "hpo.points"):
        assert count(store, table) == 0
    store.create(spec())
    assert claimed(store).number == 0


def test_a_changed_pruner_and_budget_are_no_other_study(store: Store) -> None:
    store.create(spec())
    store.create(replace(spec(pruner={"kind": "asha"}), trials=9))
    assert store.plan("toy").spec.trials == 9


class Slow(Store):
    """A store on a busy machine: Optuna takes its time."""

    def write_plan(self, connection: Connection, wanted: Plan) -> Plan:
        time.sleep(0.6)
        return super().write_plan(connection, wanted)


def test_a_study_is_made_at_leisure_however_short_the_grace(store: Store) -> None:
    busy = Slow(replace(store.database, grace=0.3))
    assert busy.create(spec()).study_id
    busy.close()


@pytest.mark.parametrize(("step", "loss", "pruned"), [(2, 9.0, True), (3, 9.0, False), (3, float("nan"), True)])
def test_a_trial_that_trained_to_its_end_is_not_pruned(store: Store, step: int, loss: float, pruned: bool) -> None:
    """Nothing is left to save then; a loss that is not finite is no result at any step."""
    harsh = spec(pruner={"kind": "threshold", "upper": 1.0})
    store.create(harsh)
    trial = Study(store, "toy").begin(claimed(store), harsh)
    assert trial.report(Evaluation(step, float(step), {"val_loss": loss})) is pruned


@pytest.mark.parametrize(("loss", "pruned"), [(9.0, True), (0.1, False)])
def test_what_a_percentile_says_is_recorded(store: Store, loss: float, pruned: bool) -> None:
    keen = spec(pruner={"kind": "percentile", "n_startup_trials": 1})
    store.create(keen)
    study = Study(store, "toy")
    for value in (0.5, 0.6):
        before = study.begin(claimed(store), keen)
        before.report(Evaluation(1, 1.0, {"val_loss": value}))
        before.finish("complete")
    assert study.begin(claimed(store), keen).report(Evaluation(1, 1.0, {"val_loss": loss})) is pruned


def test_a_report_and_a_finish_need_one_connection_at_a_time(store: Store) -> None:
    """In a pool that is shared with others, who holds one and waits for a second may wait for ever."""
    store.create(spec())
    trial = Study(store, "toy").begin(claimed(store), spec())
    with store.engine.connect():  # of the two, one is taken
        store.engine.pool._timeout = 1
        trial.report(Evaluation(1, 1.0, {"val_loss": 0.5}))
        trial.finish("complete")
    assert count(store, "trials WHERE state = 'COMPLETE'") == 1


def test_who_waits_to_suggest_holds_no_connection(store: Store) -> None:
    plan = store.create(spec())
    study, other = Study(store, "toy"), Store(store.database)
    with ThreadPoolExecutor(1) as pool:
        with other.engine.begin() as connection:
            claims.lock(connection, claims.SUGGEST_LOCK, plan.study_id)
            begun = pool.submit(study.begin, claimed(store), spec())
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
            )
            for _ in range(20):
                assert connection.scalar(text(waits)) == 0
            assert not begun.done()
        assert begun.result(30).params
    other.close()


def test_a_trial_that_could_not_be_trained_is_infeasible_for_the_sampler(store: Store) -> None:
    store.create(spec(trials=None))
    study = Study(store, "toy")
    for index, loss in enumerate((0.5, 0.4, float("nan"), None)):
        trial = study.begin(claimed(store, f"w{index}"), spec())
        if loss is not None:
            trial.report(Evaluation(1, 1.0, {"val_loss": loss}))
        trial.finish("pruned" if index else "complete", infeasible=loss is None)
    found = study.optuna.trials
    assert [trial.constraints for trial in found] == [{}, {}, {"infeasible": 1.0}, {"infeasible": 1.0}]
    assert [trial.state.name for trial in found] == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert study.optuna.best_trial.number == 0
    assert count(store, "hpo.trials WHERE number = 2 AND error = 'val_loss was not finite at step 1'") == 1


@pytest.mark.parametrize("loss", [float("nan"), None], ids=["diverged", "too large"])
def test_what_could_not_be_trained_takes_nobodys_place_at_a_rung(store: Store, loss: float | None) -> None:
    """Though it was the best there before; a feasible one holds its own."""
    asha = spec(pruner="asha")
    store.create(asha)
    study = Study(store, "toy")
    gone = study.begin(claimed(store, "gone"), asha)
    assert not gone.report(Evaluation(1, 1.0, {"val_loss": 0.1}))
    assert count(store, "trial_system_attributes WHERE key = 'completed_rung_0'") == 1
    if loss is not None:
        assert gone.report(Evaluation(2, 2.0, {"val_loss": loss}))
    gone.finish("pruned", infeasible=loss is None)
    assert not Study(store, "toy").begin(claimed(store, "next"), asha).report(Evaluation(1, 1.0, {"val_loss": 0.5}))
    assert Study(store, "toy").begin(claimed(store, "third"), asha).report(Evaluation(1, 1.0, {"val_loss": 0.9}))


def test_listed_points_run_once_each_in_their_order(store: Store) -> None:
    points = [{}, {"simulated.batch_size": 8}, {"simulated.dropout": 0.3}]
    store.create(spec(search={}, sampler="grid", trials=None, points=points))
    study = Study(store, "toy")
    found = [study.begin(claimed(store, f"w{index}"), store.plan("toy").spec).params for index in range(3)]
    own = {"simulated.batch_size": 16, "simulated.dropout": 0.1}
    assert found == [own | point for point in points]
    assert store.claim("toy", worker("late"))[1] is Nothing.WAIT
    assert [trial.params for trial in study.optuna.trials] == found
