"""Pause, resume, stop, cancel and requeue: what each does to the books, also at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from hpo import control
from hpo.attempts import Claim, Standing, Worker
from hpo.claims import Nothing
from hpo.errors import StudyError
from hpo.running import Cancelled, RunningTrial, Study, Superseded
from hpo.spec import StudySpec
from hpo.store import Store
from objectives.evaluation import Evaluation

TREE = {
    "study": "toy",
    "objective": {"simulated": {}},
    "search": {
        "simulated.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "simulated.batch_size": [8, 16, 32],
        "simulated.dropout": {"low": 0.0, "high": 0.5},
    },
    "sampler": "random",
    "pruner": "none",
    "trials": 3,
}
ME = "me@here"


def create(store: Store, **changes: Any) -> None:
    store.create(StudySpec.from_dict(TREE | changes))


def claim(store: Store, name: str = "one") -> Claim | Nothing:
    return store.claim("toy", Worker(name, "here", 1, 60.0))[1]


def begun(store: Store, name: str = "one") -> RunningTrial:
    found = claim(store, name)
    assert isinstance(found, Claim)
    return Study(store, "toy").begin(found, store.plan("toy").spec)


def evaluate(trial: RunningTrial, step: int = 1, loss: float = 0.5) -> RunningTrial:
    trial.report(Evaluation(step, float(step), {"val_loss": loss}))
    return trial


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_a_paused_study_gives_nothing_until_it_is_resumed(store: Store) -> None:
    create(store)
    trial = begun(store)
    assert store.beat(trial.claim) == Standing()
    control.pause(store, "toy", ME)
    assert store.beat(trial.claim) == Standing(held=True)
    assert evaluate(trial).held
    store.release(trial.claim)
    assert claim(store) is Nothing.PAUSED
    assert store.open_studies() == []
    assert rows(store, "SELECT state, asked, asked_by, asked_at IS NOT NULL FROM hpo.studies") == [
        ("paused", "pause", ME, True)
    ]
    control.resume(store, "toy", "you@there")
    again = begun(store)
    assert (again.claim.number, again.claim.attempt) == (0, 2)
    assert not evaluate(again, 2).held
    assert rows(store, "SELECT state, asked, asked_by FROM hpo.studies") == [("running", "resume", "you@there")]
    assert rows(store, "SELECT verb, who, stands FROM hpo.wishes ORDER BY wish") == [
        ("pause", ME, False),
        ("resume", "you@there", False),
    ]


def test_a_stopped_study_ends_its_workers_until_a_launch(store: Store) -> None:
    create(store)
    control.pause(store, "toy", ME)
    control.stop(store, "toy", ME)
    assert claim(store) is Nothing.STOPPED
    assert rows(store, "SELECT state FROM hpo.studies") == [("stopped",)]
    assert control.restart(store, "toy", ME) == ME
    assert control.restart(store, "toy", ME) is None
    assert isinstance(claim(store), Claim)


def test_a_launch_does_not_undo_a_pause(store: Store) -> None:
    create(store)
    control.pause(store, "toy", ME)
    assert control.restart(store, "toy", ME) is None
    assert claim(store) is Nothing.PAUSED


def test_a_paused_study_that_has_nothing_left_is_done(store: Store) -> None:
    create(store, trials=1)
    trial = evaluate(begun(store))
    control.pause(store, "toy", ME)
    trial.finish("complete")
    assert claim(store) is Nothing.DONE
    assert rows(store, "SELECT state FROM hpo.studies") == [("complete",)]


def test_a_paused_trial_is_adopted_by_nobody_while_others_go_on(store: Store) -> None:
    create(store, trials=2)
    first, second = begun(store), begun(store, "two")
    control.pause(store, "toy", ME, [0])
    assert (store.beat(first.claim).held, store.beat(second.claim).held) == (True, False)
    store.release(first.claim)
    assert claim(store) is Nothing.WAIT
    assert rows(store, "SELECT activity, asked_by FROM hpo.trials ORDER BY number") == [
        ("paused", ME),
        ("running", None),
    ]
    evaluate(second).finish("complete")
    assert claim(store) is Nothing.PAUSED
    control.resume(store, "toy", ME, [0])
    assert begun(store).claim.number == 0


def test_a_paused_trial_whose_worker_died_waits_for_its_resume(store: Store) -> None:
    create(store, trials=1)
    begun(store)
    control.pause(store, "toy", ME, [0])
    store.end_attempts_of("one", "died")
    assert claim(store) is Nothing.PAUSED
    assert rows(store, "SELECT activity FROM hpo.trials") == [("paused",)]


def test_a_paused_queued_trial_is_not_started(store: Store) -> None:
    create(store, trials=1, enqueue=[{"simulated.batch_size": 8}, {"simulated.batch_size": 32}])
    control.pause(store, "toy", ME, [0])
    assert begun(store).claim.number == 1
    assert rows(store, "SELECT activity FROM hpo.trials WHERE number = 0") == [("paused",)]
    control.resume(store, "toy", ME, [0])
    assert begun(store, "two").claim.number == 0


def test_a_cancelled_trial_is_failed_and_its_worker_drops_it(store: Store) -> None:
    create(store, trials=2)
    trial = evaluate(begun(store))
    assert control.cancel(store, "toy", ME, [0]) == [0]
    assert store.beat(trial.claim) == Standing(owned=False, cancelled=f"cancelled by {ME}")
    with pytest.raises(Cancelled, match=rf"^cancelled by {ME}$"):
        evaluate(trial, 2)
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


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (lambda store: control.cancel(store, "toy", ME, [0]), "trial 0 is COMPLETE already; nothing was changed"),
        (lambda store: control.cancel(store, "toy", ME, [1, 0]), "trial 0 is COMPLETE already; nothing was changed"),
        (lambda store: control.pause(store, "toy", ME, [0]), "trial 0 is COMPLETE already; nothing was changed"),
        (lambda store: control.pause(store, "toy", ME, [7]), "there is no trial 7; hpo trials -s toy lists them"),
        (lambda store: control.resume(store, "toy", ME), "it is not paused"),
        (lambda store: control.resume(store, "toy", ME, [1]), "trial 1 is not paused by itself; nothing was changed"),
    ],
)
def test_a_wish_that_cannot_be_is_one_line(store: Store, verb: Any, said: str) -> None:
    create(store)
    evaluate(begun(store)).finish("complete")
    begun(store)
    with pytest.raises(StudyError) as refused:
        verb(store)
    assert str(refused.value) == f"toy: {said}"
    assert rows(store, "SELECT * FROM hpo.wishes") == []
    assert rows(store, "SELECT state FROM hpo.trials ORDER BY number") == [("COMPLETE",), ("RUNNING",)]


def test_a_wish_that_stands_already_is_said_with_its_owner(store: Store) -> None:
    create(store)
    begun(store)
    control.pause(store, "toy", ME, [0])
    with pytest.raises(StudyError, match=rf"^toy: trial 0 is paused already, by {ME}$"):
        control.pause(store, "toy", "you", [0])
    with pytest.raises(StudyError, match=r"^toy: it is not paused; of its trials 0 are: name them with --trial$"):
        control.resume(store, "toy", "you")
    control.pause(store, "toy", ME)
    with pytest.raises(StudyError, match=rf"^toy: it is paused already, by {ME}$"):
        control.pause(store, "toy", "you")
    control.stop(store, "toy", "you")
    for verb in (control.pause, control.stop):
        with pytest.raises(StudyError, match=r"^toy: it is stopped already, by you$"):
            verb(store, "toy", ME)


def test_another_programs_trial_is_cancelled_but_not_paused(store: Store) -> None:
    create(store)
    Study(store, "toy").optuna.ask()
    with pytest.raises(StudyError, match="trial 0 runs in another program, which cannot be paused"):
        control.pause(store, "toy", ME, [0])
    control.cancel(store, "toy", ME, [0])
    assert rows(store, "SELECT state, error FROM hpo.trials") == [("FAIL", f"cancelled by {ME}")]


def test_a_complete_study_has_nothing_to_pause(store: Store) -> None:
    create(store, trials=1)
    evaluate(begun(store)).finish("complete")
    for verb in (control.pause, control.stop, control.cancel):
        with pytest.raises(StudyError, match=r"^toy: it is complete; nothing is left to run$"):
            verb(store, "toy", ME)


def test_a_copy_keeps_what_was_asked_of_its_trials(store: Store) -> None:
    from hpo import changing

    create(store, trials=2, enqueue=[{}])
    control.pause(store, "toy", ME, [0])
    control.pause(store, "toy", ME)
    changing.copy(store, "toy", "again", trials_too=True)
    assert rows(store, "SELECT activity, asked_by FROM hpo.trials WHERE study = 'again'") == [("paused", ME)]
    assert rows(store, "SELECT state FROM hpo.studies WHERE study = 'again'") == [("open",)]


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


def test_a_trial_that_is_over_keeps_nobody_waiting(store: Store) -> None:
    """Its worker was killed between telling Optuna and closing its attempt, and the study was paused then."""
    create(store, trials=1)
    trial = evaluate(begun(store), step=1)
    control.pause(store, "toy", ME, [0])
    control.pause(store, "toy", ME)
    trial.trial.study.tell(trial.trial, 0.5)
    assert claim(store, "two") is Nothing.DONE
    control.resume(store, "toy", ME)
    with pytest.raises(StudyError, match=r"^toy: it is not paused$"):  # of its trials none is, either
        control.resume(store, "toy", ME)


def test_nothing_is_claimed_after_a_pause(store: Store) -> None:
    """Four workers claim while the study is paused again and again: who sees it paused gets nothing."""
    create(store, trials=40)
    stores = [Store(store.database) for _ in range(4)]

    def drain(index: int) -> int:
        found = 0
        while (got := stores[index].claim("toy", Worker(f"w{index}-{found}", "here", 1))[1]) is not Nothing.WAIT:
            found += isinstance(got, Claim)
        stores[index].close()
        return found

    def made() -> int:
        return int(rows(store, "SELECT made FROM hpo.plans")[0][0])

    def made_while_paused() -> list[int]:
        control.pause(store, "toy", ME)
        seen = [made() for _ in range(4)]
        control.resume(store, "toy", ME)
        return seen

    with ThreadPoolExecutor(4) as pool:
        drained = [pool.submit(drain, index) for index in range(4)]
        while made() < 40:
            seen = made_while_paused()
            assert seen == seen[:1] * 4
        assert sum(one.result() for one in drained) == 40
    assert rows(store, "SELECT count(*) FROM trials") == [(40,)]
