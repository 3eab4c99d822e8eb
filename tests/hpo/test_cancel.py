"""Cancel and requeue: what each does to the books, also at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from moves import begun, claim, create, evaluate, rows

from hpo import control
from hpo.attempts import Claim, Standing
from hpo.claims import Nothing
from hpo.errors import StudyError
from hpo.running import Cancelled, RunningTrial, Study, Superseded
from hpo.store import Store

ME = "me@here"


def test_a_cancelled_trial_is_failed_and_its_worker_drops_it(store: Store) -> None:
    create(store, trials=2)
    trial = evaluate(begun(store))
    assert control.cancel(store, "toy", ME, [0]) == [0]
    assert store.beat(trial.claim) == Standing(owned=False, cancelled=f"cancelled by {ME}")
    with pytest.raises(Cancelled, match=rf"^cancelled by {ME}$"):
        evaluate(trial, after=1)
    with pytest.raises(Cancelled):
        trial.finish("complete")
    assert rows(store, "SELECT state, outcome, error, finished IS NOT NULL FROM hpo.trials") == [
        ("FAIL", "cancelled", f"cancelled by {ME}", True)
    ]
    assert begun(store).claim.number == 1
    assert rows(store, "SELECT failed, remaining, state FROM hpo.studies") == [(1, 0, "running")]


@pytest.mark.parametrize("how", ["released", "paused", "queued"])
def test_what_does_not_run_is_cancelled_too(store: Store, how: str) -> None:
    create(store, trials=1, enqueue=[{}] if how == "queued" else [])
    if how != "queued":
        store.release(begun(store).claim)
    if how == "paused":
        control.pause(store, "toy", ME, [0])
    control.cancel(store, "toy", ME, [0])
    assert rows(store, "SELECT state, activity, error FROM hpo.trials") == [("FAIL", None, f"cancelled by {ME}")]
    assert rows(store, "SELECT datetime_start IS NOT NULL FROM trials") == [(True,)]
    assert isinstance(claim(store), Claim) if how == "queued" else claim(store) is Nothing.DONE
    assert [trial.state.name for trial in Study(store, "toy").optuna.trials][:1] == ["FAIL"]


def test_a_trial_cancelled_before_its_parameters_are_drawn_is_dropped(store: Store) -> None:
    create(store)
    found = claim(store)
    assert isinstance(found, Claim)
    control.cancel(store, "toy", ME, [0])
    with pytest.raises(Cancelled):
        Study(store, "toy").begin(found, store.plan("toy").spec)


def test_cancelled_trials_are_no_sign_that_a_study_is_hopeless(store: Store) -> None:
    create(store, trials=9)
    for number in range(3):
        begun(store)
        control.cancel(store, "toy", ME, [number])
    for _ in range(3):
        begun(store).finish("fail", error="ValueError: no", place="ValueError at x:1")
        states = rows(store, "SELECT state FROM hpo.studies")
    assert states == [("failed",)]  # for the three of their own, neither sooner nor later
    assert rows(store, "SELECT count(*) FROM trials") == [(6,)]


def test_cancelling_a_study_ends_all_and_stops_it(store: Store) -> None:
    create(store, trials=3, enqueue=[{"simulated.batch_size": 8}, {}, {}])
    running = begun(store)
    evaluate(begun(store, "two")).finish("complete")
    assert control.cancel(store, "toy", ME) == [0, 2]
    assert store.beat(running.claim).cancelled == f"cancelled by {ME}"
    assert claim(store) is Nothing.STOPPED
    states = rows(store, "SELECT state FROM hpo.trials ORDER BY number")
    assert states == [("FAIL",), ("COMPLETE",), ("FAIL",)]


def test_a_failed_trial_is_queued_again_with_its_very_parameters(store: Store) -> None:
    create(store, trials=3)
    params = [begun(store).params]
    control.cancel(store, "toy", ME, [0])
    failed = begun(store)
    params.append(failed.params)
    failed.finish("fail", error="no")
    assert control.requeue(store, "toy", ME) == {1: 2}
    with pytest.raises(StudyError, match="no failed trial is left to queue again"):
        control.requeue(store, "toy", ME)
    assert control.requeue(store, "toy", ME, [0]) == {0: 3}
    assert [begun(store, f"w{index}").params for index in range(2)] == params[::-1]
    assert rows(store, "SELECT number, requeued_from, asked, asked_by FROM hpo.trials WHERE number > 1") == [
        (2, 1, "requeue", ME),
        (3, 0, "requeue", ME),
    ]
    assert Study(store, "toy").optuna.trials[3].user_attrs == {"requeued_from": 0}
    assert rows(store, "SELECT made FROM hpo.plans") == [(2,)]


def test_a_queued_point_that_never_ran_is_queued_again(store: Store) -> None:
    create(store, trials=1, enqueue=[{"simulated.batch_size": 32}])
    control.cancel(store, "toy", ME, [0])
    control.requeue(store, "toy", ME, [0])
    assert begun(store).params["simulated.batch_size"] == 32


def test_a_grid_point_is_tried_again(store: Store) -> None:
    create(store, search={"simulated.dropout": [0.1, 0.2, 0.3]}, sampler="grid", trials=None)
    begun(store).finish("fail", error="no")
    control.requeue(store, "toy", ME)
    assert begun(store).params == {"simulated.dropout": 0.1}
    control.cancel(store, "toy", ME, [1])
    assert control.requeue(store, "toy", ME, [1]) == {1: 2}
    assert rows(store, "SELECT point, try, number FROM hpo.points JOIN trials USING (trial_id) ORDER BY number") == [
        (0, 1, 0),
        (0, 2, 1),
        (0, 3, 2),
    ]
    assert begun(store).params == {"simulated.dropout": 0.1}
    assert [begun(store, f"w{index}").params for index in range(2)] == [
        {"simulated.dropout": 0.2},
        {"simulated.dropout": 0.3},
    ]


def test_a_complete_trial_is_repeated_only_where_that_is_said(store: Store) -> None:
    create(store)
    evaluate(begun(store)).finish("complete")
    begun(store)
    with pytest.raises(StudyError, match=r"^toy: trial 0 is COMPLETE: its result stands; --complete"):
        control.requeue(store, "toy", ME, [0])
    with pytest.raises(StudyError, match=r"^toy: trial 1 is RUNNING: only a finished one is queued again; hpo cancel"):
        control.requeue(store, "toy", ME, [0, 1], complete=True)
    assert rows(store, "SELECT count(*) FROM trials") == [(2,)]
    assert control.requeue(store, "toy", ME, [0], complete=True) == {0: 2}


def test_another_programs_trial_is_cancelled_but_not_paused(store: Store) -> None:
    create(store)
    Study(store, "toy").optuna.ask()
    with pytest.raises(StudyError, match="trial 0 runs in another program, which cannot be paused"):
        control.pause(store, "toy", ME, [0])
    control.cancel(store, "toy", ME, [0])
    assert rows(store, "SELECT state, error FROM hpo.trials") == [("FAIL", f"cancelled by {ME}")]


def test_cancel_and_finish_at_once_agree(store: Store) -> None:
    """Whoever is first: a trial is complete and its cancel refused, or cancelled and its worker told."""
    create(store, trials=12)
    trials = [evaluate(begun(store, f"w{index}")) for index in range(12)]
    stores = [Store(store.database) for _ in range(2)]

    def finish(trial: RunningTrial) -> str:
        try:
            trial.finish("complete")
        except Superseded as why:
            return type(why).__name__
        return "complete"

    def cancel(index: int) -> str:
        try:
            control.cancel(stores[index % 2], "toy", ME, [index])
        except StudyError as refused:
            return {f"toy: trial {index} is COMPLETE already; nothing was changed": "complete"}[str(refused)]
        return "Cancelled"

    with ThreadPoolExecutor(2) as finishing, ThreadPoolExecutor(2) as cancelling:
        ends, wishes = finishing.map(finish, trials), cancelling.map(cancel, range(12))
        both = list(zip(ends, wishes, strict=True))
    for one in stores:
        one.close()
    assert [end for end, _ in both] == [wish for _, wish in both]
    states = {"complete": ("COMPLETE", "complete"), "Cancelled": ("FAIL", "cancelled")}
    assert rows(store, "SELECT state, outcome FROM hpo.trials ORDER BY number") == [states[end] for end, _ in both]
