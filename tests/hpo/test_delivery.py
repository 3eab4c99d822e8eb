"""Evaluations handed over while training goes on: in order, once each, and none after a verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError, TimeoutError
from support import wait_until

from hpo.delivery import Delivery, Dispatch
from hpo.errors import DatabaseError
from hpo.keeping import Keeper
from hpo.patience import Patience, pauses
from objectives.evaluation import Evaluation, Result, Snapshot


class Verdict(Exception):  # noqa: N818
    pass


def dispatch(step: int, attempt: int = 1) -> Dispatch:
    return Dispatch(Evaluation(step, float(step), {"val_loss": 1 / step}), attempt)


def lost() -> OperationalError:
    return OperationalError("statement", {}, Exception("no server there"))


class Desk:
    """What delivers: closed until it is opened, and out of order for as long as `broken`."""

    def __init__(self, worst: int = 0) -> None:
        self.open, self.broken, self.worst = threading.Event(), False, worst
        self.taken: list[int] = []
        self.tries = 0

    def __call__(self, one: Dispatch) -> None:
        self.open.wait(30)
        self.tries += 1
        if self.broken:
            raise lost()
        self.taken.append(one.evaluation.step)
        if one.evaluation.step == self.worst:
            raise Verdict


Begin = Callable[..., Delivery]


@pytest.fixture
def begin() -> Iterator[Begin]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda desk, seconds=30.0, stop=None: stack.enter_context(
            Delivery(desk, Patience(seconds, stop or threading.Event()))
        )


def test_handing_over_waits_for_nothing_and_the_order_is_kept(begin: Begin) -> None:
    desk = Desk()
    delivery = begin(desk)
    for step in range(1, 6):
        delivery.put(dispatch(step))
    assert [one.evaluation.step for one in delivery.undelivered()] == [1, 2, 3, 4, 5]
    desk.open.set()
    delivery.flush()
    assert desk.taken == [1, 2, 3, 4, 5]
    assert delivery.undelivered() == []


def test_nothing_is_delivered_after_the_verdict(begin: Begin) -> None:
    """However far the training has come by then."""
    desk = Desk(worst=2)
    delivery = begin(desk)
    for step in range(1, 6):
        delivery.put(dispatch(step))
    delivery.heed()
    desk.open.set()
    with pytest.raises(Verdict):
        delivery.flush()
    with pytest.raises(Verdict):
        delivery.heed()
    with pytest.raises(Verdict):
        delivery.put(dispatch(6))
    assert desk.taken == [1, 2]


def test_an_outage_is_outlasted(begin: Begin) -> None:
    desk = Desk()
    desk.broken = True
    desk.open.set()
    delivery = begin(desk)
    delivery.put(dispatch(1))
    wait_until(lambda: desk.tries >= 2)
    delivery.put(dispatch(2))
    assert not delivery.given_up()
    desk.broken = False
    delivery.flush()
    assert desk.taken == [1, 2]


def test_a_pool_without_a_connection_is_no_verdict(begin: Begin) -> None:
    answers: list[Exception] = [TimeoutError("QueuePool limit of size 1 overflow 1 reached")]

    def deliver(one: Dispatch) -> None:
        if answers:
            raise answers.pop()

    delivery = begin(deliver)
    delivery.put(dispatch(1))
    delivery.flush()
    assert delivery.undelivered() == []


def test_patience_ends_and_what_is_undelivered_is_known(begin: Begin) -> None:
    desk = Desk()
    desk.broken = True
    desk.open.set()
    delivery = begin(desk, seconds=0.01)
    delivery.put(dispatch(1))
    wait_until(delivery.given_up)
    delivery.put(dispatch(2))
    said = r"away for longer than 0\.01 s \(HPO_PATIENCE\): no server there; the trial is left with its checkpoint"
    with pytest.raises(DatabaseError, match=said):
        delivery.flush()
    assert [one.evaluation.step for one in delivery.undelivered()] == [1, 2]
    desk.broken = False  # back before anybody left: nothing has happened
    wait_until(lambda: not delivery.given_up())
    delivery.flush()
    assert desk.taken == [1, 2]


def test_a_stop_does_not_wait_for_a_database_that_is_away(begin: Begin) -> None:
    desk, stop = Desk(), threading.Event()
    desk.broken = True
    desk.open.set()
    delivery = begin(desk, stop=stop)
    delivery.put(dispatch(1))
    wait_until(lambda: desk.tries >= 1)
    stop.set()
    with pytest.raises(DatabaseError, match="has been away: no server there"):
        delivery.flush()


def test_who_asks_the_database_tries_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(islice(pauses(), 8)) == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    monkeypatch.setattr("hpo.patience.FIRST_PAUSE", 0.001)
    answers = iter([lost(), lost(), 7])

    def verb() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Patience(30.0, threading.Event())(verb) == 7
    with pytest.raises(OperationalError):
        Patience(0.0, threading.Event())(lambda: (_ for _ in ()).throw(lost()))


def test_a_checkpoint_carries_what_is_undelivered(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path / "trial"), 0)
    result = Result(2, 10, {"train": 1.5}, {"device": "cpu"})
    late = [
        Dispatch(Evaluation(1, 0.5, {"val_loss": 0.25}, {"confusion": [[1, 0]]}, result), 1),
        Dispatch(Evaluation(2, 1.0, {"val_loss": float("inf")}), 3),
    ]
    keeper.offer(Evaluation(2, 1.0, {}, snapshot=lambda: Snapshot({}, {"step": 2})), late)
    assert keeper.resume() == (Snapshot({}, {"step": 2}), late)


@pytest.mark.parametrize("error", [MemoryError(), OSError("no memory for a copy of the state")])
def test_memory_that_runs_out_costs_the_checkpoint_alone(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def snapshot() -> Snapshot:
        raise error

    Keeper(str(tmp_path / "trial"), 0).offer(Evaluation(2, 1.0, {}, snapshot=snapshot))
    assert "no checkpoint of step 2: " in caplog.text
    assert "memory" in caplog.text
