"""Attempts: whose a trial is, who goes on with it, and what counts as a death."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
from moves import claimed, count, silence, spec, worker
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from hpo import claims
from hpo.attempts import Standing, process_name
from hpo.claims import Nothing
from hpo.running import Study, Superseded
from hpo.store import Store
from objectives.evaluation import Evaluation, Result


@pytest.mark.parametrize("how", ["silent", "released", "died", "same worker"])
def test_an_abandoned_trial_is_adopted_with_its_number_and_parameters(store: Store, how: str) -> None:
    store.create(spec())
    first = claimed(store)
    params = Study(store, "toy").begin(first, spec()).params
    if how == "silent":
        silence(store)
    elif how == "released":
        store.release(first)
    elif how == "died":
        assert store.end_attempts_of("one", "died", "signal 9") == [0]
    second = claimed(store, "one" if how == "same worker" else "two")
    assert (second.number, second.attempt) == (0, 2)
    assert Study(store, "toy").begin(second, spec()).params == params
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


def test_two_processes_of_one_host_and_number_have_names_of_their_own() -> None:
    """A container that is started anew has both as before: what the one before it held is not its own."""
    names = {process_name() for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith(f"{socket.gethostname()}.{os.getpid()}-") for name in names)


def test_a_superseded_worker_can_neither_report_nor_finish(store: Store) -> None:
    store.create(spec())
    trial = Study(store, "toy").begin(claimed(store), spec())
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
    assert store.claim("toy", worker("late"))[1] is Nothing.DONE
    assert count(store, "hpo.trials WHERE state = 'FAIL' AND error LIKE '%died 3 times in a row%'") == 1
    assert count(store, "hpo.trials WHERE error LIKE '%memory%'") == 0


def test_a_machine_that_was_killed_three_times_fails_no_trial(store: Store) -> None:
    """Its workers went with the database; the trial may have had no part in it."""
    store.create(spec(trials=1))
    for attempt in range(1, 5):
        assert claimed(store, f"w{attempt}").attempt == attempt
        with store.engine.begin() as connection:
            went = "beat = pg_postmaster_start_time() - interval '61 s', grace = interval '0 s'"
            connection.execute(text(f"UPDATE hpo.attempts SET {went}"))
    assert count(store, "hpo.attempts WHERE outcome = 'released' AND error LIKE '%since the database was started'") == 3


def test_deaths_by_sigkill_name_memory(store: Store) -> None:
    store.create(spec(trials=1, max_attempts=1))
    claimed(store)
    store.end_attempts_of("one", "died", "worker one ended with signal SIGKILL")
    assert store.claim("toy", worker("late"))[1] is Nothing.DONE
    assert count(store, "hpo.trials WHERE error LIKE '%runs out of memory: try fewer workers%'") == 1


def computed(threads: int) -> Result:
    """A result by so many threads."""
    return Result(1, 1, {}, {"model": "some", "threads": threads, "versions": {"torch": "2.6"}})


def test_an_adopter_learns_how_the_first_attempt_computed(store: Store) -> None:
    """With the first evaluation on record, not before: until then nothing depends on it."""
    store.create(spec(trials=1))
    first = claimed(store)
    assert first.runtime == {}
    trial = Study(store, "toy").begin(first, store.plan("toy").spec)
    store.end_attempts_of("one", "died")
    second = claimed(store, "two")
    assert second.runtime == {}
    trial = Study(store, "toy").begin(second, store.plan("toy").spec)
    trial.report(Evaluation(1, 1.0, {"val_loss": 0.5}, result=computed(3)))
    trial.report(Evaluation(2, 2.0, {"val_loss": 0.4}, result=computed(2)))
    store.end_attempts_of("two", "died")
    third = claimed(store, "three")
    assert third.runtime == {"threads": 2, "versions": {"torch": "2.6"}}
    trial = Study(store, "toy").begin(third, store.plan("toy").spec)
    trial.report(Evaluation(3, 3.0, {"val_loss": 0.3}, result=computed(5)))
    store.end_attempts_of("three", "died")
    assert claimed(store, "four").runtime["threads"] == 2
    assert count(store, "hpo.attempts WHERE facts ->> 'device' = 'gpu 7'") == 4


def test_released_attempts_and_progress_do_not_count_as_deaths(store: Store) -> None:
    store.create(spec(trials=1))
    study = Study(store, "toy")
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
    study = Study(store, "toy")
    study.begin(claim, spec())
    study.optuna.tell(claim.number, 0.5)
    assert store.claim("toy", worker("two"))[1] is Nothing.DONE
    assert count(store, "hpo.attempts WHERE outcome = 'complete' AND NOT current AND ended IS NOT NULL") == 1


def test_a_verdict_without_its_record_is_taken_again(store: Store) -> None:
    """Killed between the pruner's verdict and its record, a bad trial must not pass the rung unseen."""
    asha = spec(pruner="asha", trials=5)
    store.create(asha)
    study = Study(store, "toy")
    for index in range(4):
        good = study.begin(claimed(store, f"good{index}"), asha)
        good.report(Evaluation(1, 1.0, {"val_loss": 0.1 + index / 100}))
        good.finish("complete")
    bad = study.begin(claimed(store, "bad"), asha)
    bad.trial.report(9.0, 1)
    assert bad.trial.should_prune()  # the rung is in the database now, and the worker dies
    store.end_attempts_of("bad", "died")
    again = Study(store, "toy").begin(claimed(store, "heir"), asha)
    assert again.report(Evaluation(1, 1.0, {"val_loss": 9.0}))


def test_a_recorded_verdict_is_remembered(store: Store) -> None:
    store.create(spec())
    trial = Study(store, "toy").begin(claimed(store), spec())
    assert trial.report(Evaluation(1, 1.0, {"val_loss": float("nan")}))
    store.end_attempts_of("one", "died")
    assert claimed(store, "heir").pruned


def test_only_new_steps_are_reported_again(store: Store) -> None:
    store.create(spec())
    study = Study(store, "toy")
    study.begin(claimed(store), spec()).report(Evaluation(1, 1.0, {"val_loss": 0.4}))
    store.end_attempts_of("one", "died")
    again = study.begin(claimed(store, "two"), spec())
    again.report(Evaluation(1, 1.0, {"val_loss": 0.7}))
    again.report(Evaluation(2, 2.0, {"val_loss": 0.5}))
    again.finish("complete")
    assert study.optuna.trials[0].intermediate_values == {1: 0.4, 2: 0.5}
    assert study.optuna.trials[0].value == 0.4  # the best over its evaluations


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


def test_a_finish_cut_off_after_optuna_was_told_lacks_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(spec(trials=1))
    trial = Study(store, "toy").begin(claimed(store), spec())
    with monkeypatch.context() as patch:
        patch.setattr("hpo.attempts.end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trial.finish("fail", error="ValueError: no", place="ValueError at x:1")
    assert store.claim("toy", worker("two"))[1] is Nothing.DONE
    kept = "hpo.attempts WHERE outcome = 'fail' AND error = 'ValueError: no' AND place = 'ValueError at x:1'"
    assert count(store, kept) == 1
    assert count(store, "hpo.results") == 1
