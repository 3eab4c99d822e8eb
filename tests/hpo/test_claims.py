"""Budgets, grid points and attempts, on a real database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from hpo import claims
from hpo.attempts import Claim, Standing, Worker
from hpo.claims import Nothing
from hpo.errors import StudyError
from hpo.running import Study, Superseded
from hpo.spec import StudySpec
from hpo.store import Plan, Store
from objectives.evaluation import Evaluation, Result

TREE = {
    "study": "claims",
    "objective": {"simulated": {}},
    "search": {"simulated.dropout": {"low": 0.0, "high": 0.5}, "simulated.batch_size": {"choices": [8, 16, 32]}},
    "sampler": {"kind": "random"},
    "pruner": {"kind": "asha"},
    "trials": 5,
}


def spec(**changes: object) -> StudySpec:
    return StudySpec.from_dict({**TREE, **changes})


def worker(name: str = "one", grace: float = 60.0) -> Worker:
    return Worker(name, "here", 1, grace, {"device": "gpu 7"})


def claimed(store: Store, name: str = "one", study: str = "claims") -> Claim:
    found = store.claim(study, worker(name))[1]
    assert isinstance(found, Claim)
    return found


def finish(store: Store, claim: Claim, study: str = "claims") -> None:
    trial = Study(store, study).begin(claim, store.plan(study).spec)
    trial.report(Evaluation(1, 1.0, {"val_loss": 0.5}))
    trial.finish("complete")


def count(store: Store, what: str) -> int:
    with store.engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {what}")) or 0)


def silence(store: Store) -> None:
    """Let all beats be older than any grace."""
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE hpo.attempts SET beat = beat - interval '1 hour'"))


def test_claims_make_exactly_the_budget(store: Store) -> None:
    store.create(spec())
    numbers = [claimed(store, f"w{index}").number for index in range(5)]
    assert numbers == [0, 1, 2, 3, 4]
    assert store.claim("claims", worker("late"))[1] is Nothing.WAIT
    assert count(store, "trials") == 5


def test_many_claims_at_once_make_exactly_the_budget(store: Store, url: str) -> None:
    store.create(spec(trials=12))
    stores = [Store(store.database) for _ in range(8)]

    def drain(index: int) -> list[int]:
        found = []
        while isinstance(claim := stores[index].claim("claims", worker(f"w{index}-{len(found)}"))[1], Claim):
            found.append(claim.number)
        stores[index].close()
        return found

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for found in pool.map(drain, range(8)) for number in found]
    assert sorted(numbers) == list(range(12))


def test_a_finished_study_is_done(store: Store) -> None:
    store.create(spec(trials=1))
    finish(store, claimed(store))
    assert store.claim("claims", worker())[1] is Nothing.DONE


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
        trial = Study(store, "claims").begin(claim, store.plan("claims").spec)
        seen.add(tuple(trial.params.values()))
    assert len(seen) == 6
    assert store.claim("claims", worker("late"))[1] is Nothing.WAIT


def test_the_defaults_run_first(store: Store) -> None:
    plan = store.create(spec())
    first = Study(store, "claims").begin(claimed(store), plan.spec)
    assert first.params == {"simulated.dropout": 0.1, "simulated.batch_size": 16}


def test_queued_points_come_on_top_of_the_budget(store: Store) -> None:
    store.create(spec(trials=1, enqueue=[{"simulated.dropout": 0.25}]))
    store.enqueue("claims", [{"simulated.batch_size": 8}])
    study = Study(store, "claims")
    found = [study.begin(claimed(store, f"w{index}"), spec()).params for index in range(3)]
    assert found[0]["simulated.dropout"] == 0.25
    assert found[1]["simulated.batch_size"] == 8
    assert store.claim("claims", worker("late"))[1] is Nothing.WAIT


@pytest.mark.parametrize("how", ["silent", "released", "died", "same worker"])
def test_an_abandoned_trial_is_adopted_with_its_number_and_parameters(store: Store, how: str) -> None:
    store.create(spec())
    first = claimed(store)
    params = Study(store, "claims").begin(first, spec()).params
    if how == "silent":
        silence(store)
    elif how == "released":
        store.release(first)
    elif how == "died":
        assert store.end_attempts_of("one", "died", "signal 9") == [0]
    second = claimed(store, "one" if how == "same worker" else "two")
    assert (second.number, second.attempt) == (0, 2)
    assert Study(store, "claims").begin(second, spec()).params == params
    assert count(store, "trials") == 1


def test_a_live_trial_is_not_adopted(store: Store) -> None:
    store.create(spec())
    claimed(store)
    assert claimed(store, "two").number == 1


def test_a_beat_keeps_a_trial_and_tells_its_loss(store: Store) -> None:
    store.create(spec())
    first = claimed(store)
    silence(store)
    assert store.beat(first).owned
    assert claimed(store, "two").number == 1
    silence(store)
    assert claimed(store, "three").number == 0
    assert store.beat(first) == Standing(owned=False)


def test_a_superseded_worker_can_neither_report_nor_finish(store: Store) -> None:
    store.create(spec())
    trial = Study(store, "claims").begin(claimed(store), spec())
    silence(store)
    claimed(store, "two")
    with pytest.raises(Superseded):
        trial.report(Evaluation(1, 1.0, {"val_loss": 0.1}))
    with pytest.raises(Superseded):
        trial.finish("complete")
    assert count(store, "trials WHERE state = 'RUNNING'") == 1
    assert count(store, "trial_intermediate_values") == 0


def test_three_deaths_without_progress_fail_the_trial(store: Store) -> None:
    store.create(spec(trials=1))
    for attempt in range(1, 4):
        assert claimed(store, f"w{attempt}").attempt == attempt
        store.end_attempts_of(f"w{attempt}", "died", "signal 9")
    assert store.claim("claims", worker("late"))[1] is Nothing.DONE
    assert count(store, "hpo.trials WHERE state = 'FAIL' AND error LIKE '%died 3 times in a row%'") == 1
    assert count(store, "hpo.trials WHERE error LIKE '%memory%'") == 0


def test_deaths_by_sigkill_name_memory(store: Store) -> None:
    store.create(spec(trials=1, max_attempts=1))
    claimed(store)
    store.end_attempts_of("one", "died", "worker one ended with signal SIGKILL")
    assert store.claim("claims", worker("late"))[1] is Nothing.DONE
    assert count(store, "hpo.trials WHERE error LIKE '%runs out of memory: try fewer workers%'") == 1


def computed(threads: int) -> Result:
    """A result by so many threads."""
    return Result(1, 1, {}, {"model": "some", "threads": threads, "versions": {"torch": "2.6"}})


def test_an_adopter_learns_how_the_first_attempt_computed(store: Store) -> None:
    """With the first evaluation on record, not before: until then nothing depends on it."""
    store.create(spec(trials=1))
    first = claimed(store)
    assert first.runtime == {}
    trial = Study(store, "claims").begin(first, store.plan("claims").spec)
    store.end_attempts_of("one", "died")
    second = claimed(store, "two")
    assert second.runtime == {}
    trial = Study(store, "claims").begin(second, store.plan("claims").spec)
    trial.report(Evaluation(1, 1.0, {"val_loss": 0.5}, result=computed(3)))
    trial.report(Evaluation(2, 2.0, {"val_loss": 0.4}, result=computed(2)))
    store.end_attempts_of("two", "died")
    third = claimed(store, "three")
    assert third.runtime == {"threads": 2, "versions": {"torch": "2.6"}}
    trial = Study(store, "claims").begin(third, store.plan("claims").spec)
    trial.report(Evaluation(3, 3.0, {"val_loss": 0.3}, result=computed(5)))
    store.end_attempts_of("three", "died")
    assert claimed(store, "four").runtime["threads"] == 2
    assert count(store, "hpo.attempts WHERE facts ->> 'device' = 'gpu 7'") == 4


def test_released_attempts_and_progress_do_not_count_as_deaths(store: Store) -> None:
    store.create(spec(trials=1))
    study = Study(store, "claims")
    for attempt in range(1, 8):
        claim = claimed(store, f"w{attempt}")
        assert claim.attempt == attempt
        if attempt % 2:
            study.begin(claim, spec()).report(Evaluation(attempt, attempt, {"val_loss": 1.0 / attempt}))
            store.end_attempts_of(f"w{attempt}", "died")
        else:
            store.release(claim)


def test_a_trial_finished_before_its_attempt_heard_is_settled(store: Store) -> None:
    store.create(spec(trials=1))
    claim = claimed(store)
    study = Study(store, "claims")
    study.begin(claim, spec())
    study.optuna.tell(claim.number, 0.5)
    assert store.claim("claims", worker("two"))[1] is Nothing.DONE
    assert count(store, "hpo.attempts WHERE outcome = 'complete' AND NOT current AND ended IS NOT NULL") == 1


def test_a_foreign_running_trial_is_counted_and_left_alone(store: Store) -> None:
    store.create(spec(trials=2))
    Study(store, "claims").optuna.ask()
    assert claimed(store).number == 1
    assert claimed(store, "two").number == 2
    assert store.claim("claims", worker("late"))[1] is Nothing.WAIT


def test_a_verdict_without_its_record_is_taken_again(store: Store) -> None:
    """Killed between the pruner's verdict and its record, a bad trial must not pass the rung unseen."""
    store.create(spec())
    study = Study(store, "claims")
    for index in range(4):
        good = study.begin(claimed(store, f"good{index}"), spec())
        good.report(Evaluation(1, 1.0, {"val_loss": 0.1 + index / 100}))
        good.finish("complete")
    bad = study.begin(claimed(store, "bad"), spec())
    bad.trial.report(9.0, 1)
    assert bad.trial.should_prune()  # the rung is in the database now, and the worker dies
    store.end_attempts_of("bad", "died")
    again = Study(store, "claims").begin(claimed(store, "heir"), spec())
    assert again.report(Evaluation(1, 1.0, {"val_loss": 9.0}))


def test_a_recorded_verdict_is_remembered(store: Store) -> None:
    store.create(spec())
    trial = Study(store, "claims").begin(claimed(store), spec())
    assert trial.report(Evaluation(1, 1.0, {"val_loss": float("nan")}))
    store.end_attempts_of("one", "died")
    assert claimed(store, "heir").pruned


def test_only_new_steps_are_reported_again(store: Store) -> None:
    store.create(spec(pruner={"kind": "none"}))
    study = Study(store, "claims")
    study.begin(claimed(store), spec(pruner={"kind": "none"})).report(Evaluation(1, 1.0, {"val_loss": 0.4}))
    store.end_attempts_of("one", "died")
    again = study.begin(claimed(store, "two"), spec(pruner={"kind": "none"}))
    again.report(Evaluation(1, 1.0, {"val_loss": 0.7}))
    again.report(Evaluation(2, 2.0, {"val_loss": 0.5}))
    again.finish("complete")
    assert study.optuna.trials[0].intermediate_values == {1: 0.4, 2: 0.5}
    assert study.optuna.trials[0].value == 0.4  # the best over its evaluations


def test_a_trial_without_a_finite_value_fails(store: Store) -> None:
    store.create(spec())
    study = Study(store, "claims")
    study.begin(claimed(store), spec()).finish("complete")
    assert study.optuna.trials[0].state.name == "FAIL"


def test_the_same_failure_three_times_stops_the_study(store: Store) -> None:
    store.create(spec())
    study = Study(store, "claims")
    for index in range(3):
        study.begin(claimed(store, f"w{index}"), spec()).finish(
            "fail", error="ValueError: no", place="ValueError at x:1"
        )
    with pytest.raises(StudyError, match="the first trials all failed with: ValueError: no"):
        store.claim("claims", worker("late"))
    store.create(spec())  # a relaunch, after mending
    assert claimed(store).number == 3


def test_different_failures_do_not_stop_the_study(store: Store) -> None:
    store.create(spec())
    study = Study(store, "claims")
    for index in range(3):
        study.begin(claimed(store, f"w{index}"), spec()).finish("fail", error="no", place=f"ValueError at x:{index}")
    assert claimed(store, "late").number == 3


def test_another_search_under_the_same_name_is_refused(store: Store) -> None:
    store.create(spec())
    with pytest.raises(StudyError, match=r"search.simulated.dropout.high: 0.5 -> 0.6\n.*--as claims-2.*hpo delete"):
        store.create(spec(search={**TREE["search"], "simulated.dropout": {"low": 0.0, "high": 0.6}}))  # type: ignore[dict-item]


def test_a_foreign_study_of_the_same_name_is_refused(store: Store) -> None:
    import optuna

    storage = store.storage
    optuna.create_study(storage=storage, study_name="claims").ask()
    with pytest.raises(StudyError, match="another program made a study of this name"):
        store.create(spec())
    storage.engine.dispose()


def test_deleting_takes_everything_along(store: Store) -> None:
    store.create(spec())
    finish(store, claimed(store))
    store.delete("claims")
    for table in ("studies", "trials", "hpo.plans", "hpo.attempts", "hpo.metrics", "hpo.results", "hpo.points"):
        assert count(store, table) == 0
    store.create(spec())
    assert claimed(store).number == 0


def test_a_changed_pruner_and_budget_are_no_other_study(store: Store) -> None:
    store.create(spec())
    store.create(replace(spec(pruner={"kind": "none"}), trials=9))
    assert store.plan("claims").spec.trials == 9


def test_a_worker_frozen_within_a_transaction_loses_its_locks(store: Store) -> None:
    plan = store.create(spec())
    frozen = Store(replace(store.database, grace=0.3))
    connection = frozen.engine.connect()
    claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
    assert claimed(store).number == 0  # waits until the server has dropped the frozen one
    with pytest.raises(OperationalError):
        connection.execute(text("SELECT 1"))
    connection.close()
    frozen.close()


class Slow(Store):
    """A store on a busy machine: Optuna takes its time."""

    def write_plan(self, connection: Connection, spec: StudySpec, fingerprint: str | None) -> Plan:
        time.sleep(0.6)
        return super().write_plan(connection, spec, fingerprint)


def test_a_study_is_made_at_leisure_however_short_the_grace(store: Store) -> None:
    busy = Slow(replace(store.database, grace=0.3))
    assert busy.create(spec()).study_id
    busy.close()


@pytest.mark.parametrize(("step", "loss", "pruned"), [(2, 9.0, True), (3, 9.0, False), (3, float("nan"), True)])
def test_a_trial_that_trained_to_its_end_is_not_pruned(store: Store, step: int, loss: float, pruned: bool) -> None:
    """Nothing is left to save then; a loss that is not finite is no result at any step."""
    harsh = spec(pruner={"kind": "threshold", "upper": 1.0})
    store.create(harsh)
    trial = Study(store, "claims").begin(claimed(store), harsh)
    assert trial.report(Evaluation(step, float(step), {"val_loss": loss})) is pruned


def test_a_report_and_a_finish_need_one_connection_at_a_time(store: Store) -> None:
    """In a pool that is shared with others, who holds one and waits for a second may wait for ever."""
    store.create(spec())
    trial = Study(store, "claims").begin(claimed(store), spec())
    with store.engine.connect():  # of the two, one is taken
        store.engine.pool._timeout = 1
        trial.report(Evaluation(1, 1.0, {"val_loss": 0.5}))
        trial.finish("complete")
    assert count(store, "trials WHERE state = 'COMPLETE'") == 1


def test_who_waits_to_suggest_holds_no_connection(store: Store) -> None:
    plan = store.create(spec())
    study, other = Study(store, "claims"), Store(store.database)
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
    study = Study(store, "claims")
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
    store.create(spec())
    study = Study(store, "claims")
    gone = study.begin(claimed(store, "gone"), spec())
    assert not gone.report(Evaluation(1, 1.0, {"val_loss": 0.1}))
    assert count(store, "trial_system_attributes WHERE key = 'completed_rung_0'") == 1
    if loss is not None:
        assert gone.report(Evaluation(2, 2.0, {"val_loss": loss}))
    gone.finish("pruned", infeasible=loss is None)
    assert (
        not Study(store, "claims").begin(claimed(store, "next"), spec()).report(Evaluation(1, 1.0, {"val_loss": 0.5}))
    )
    assert Study(store, "claims").begin(claimed(store, "third"), spec()).report(Evaluation(1, 1.0, {"val_loss": 0.9}))


def test_a_finish_cut_off_after_optuna_was_told_lacks_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(spec(trials=1))
    trial = Study(store, "claims").begin(claimed(store), spec())
    with monkeypatch.context() as patch:
        patch.setattr("hpo.attempts.end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trial.finish("fail", error="ValueError: no", place="ValueError at x:1")
    assert store.claim("claims", worker("two"))[1] is Nothing.DONE
    kept = "hpo.attempts WHERE outcome = 'fail' AND error = 'ValueError: no' AND place = 'ValueError at x:1'"
    assert count(store, kept) == 1
    assert count(store, "hpo.results") == 1
