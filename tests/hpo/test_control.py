"""Pause, resume and stop: what each does to the books, and wishes that cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from moves import begun, claim, create, evaluate, rows

from hpo import control
from hpo.attempts import Claim, Standing, Worker
from hpo.claims import Nothing
from hpo.errors import StudyError
from hpo.store import Store

ME = "me@here"


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
    assert not evaluate(again).held
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


def test_a_trial_that_is_over_keeps_nobody_waiting(store: Store) -> None:
    """Its worker was killed between telling Optuna and closing its attempt, and the study was paused then."""
    create(store, trials=1)
    trial = evaluate(begun(store))
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
