"""What a study has spent and saved: the sums, from rows that are made up and from attempts in a real database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from moves import begun, claimed, create, evaluate, worker
from sqlalchemy import Engine, text

from hpo import changing
from hpo import worker as working
from hpo.config import Config
from hpo.live import Spent
from hpo.report import Report
from hpo.spending import Saving, price, spending
from hpo.store import Store
from objectives.evaluation import Result

ROW: dict[str, Any] = {
    "number": 0,
    "state": "COMPLETE",
    "begun": True,
    "open": False,
    "work": 100.0,
    "earlier": 0.0,
    "waiting": 2.0,
    "phases": {"train": 60.0, "evaluate": 20.0, "cache": 5.0, "checkpoint": 3.0},
    "by_pruner": False,
    "devices": {"cpu": 100.0},
    "epochs": 4.0,
    "evaluations": 4,
    "of_epochs": 4,
    "learned": 80.0,
    "cached": False,
    "frozen": None,
    "device": "x86_64",
}
PRUNED = ROW | {"state": "PRUNED", "by_pruner": True, "epochs": 1.0, "learned": 30.0, "work": 40.0, "phases": {}}
FROZEN = {"train": 1000, "valid": 100, "built": 0, "seconds": 0.0}


def test_work_is_split_by_phase_and_nothing_is_invented() -> None:
    found = spending([ROW, PRUNED])
    assert (found.work, found.waiting) == (140.0, 4.0)
    assert found.phases == {"training": 60.0, "evaluation": 20.0, "cache": 5.0, "checkpointing": 3.0}
    assert found.unsplit == 140.0 - 88.0
    assert found.outcomes == {"complete": 100.0, "pruned": 40.0}


def test_phases_that_take_longer_than_the_work_are_not_believed() -> None:
    found = spending([ROW | {"work": 50.0}])
    assert (found.phases, found.unsplit) == ({}, 50.0)


@pytest.mark.parametrize(("earlier", "again"), [(0.0, 0.0), (50.0, 12.0), (8.0, 8.0)])
def test_what_was_done_twice_is_what_is_not_on_the_way_to_the_result(earlier: float, again: float) -> None:
    """88 of 100 seconds are; the others are the last attempt's own, as far as earlier ones took less."""
    found = spending([ROW | {"earlier": earlier}]).outcomes
    assert found.get("repeated", 0.0) == pytest.approx(again)
    assert sum(found.values()) == pytest.approx(100.0)


def test_a_trial_that_is_not_over_has_repeated_nothing_yet() -> None:
    assert spending([ROW | {"state": "RUNNING", "earlier": 50.0}]).outcomes == {"unfinished": 100.0}


def test_pruning_saves_the_epochs_that_were_left_at_the_trials_own_speed() -> None:
    assert spending([ROW, PRUNED]).pruning == Saving(90.0, 1, 0)
    assert spending([PRUNED | {"by_pruner": False}]).pruning == Saving(0.0, 0, 0)
    unknown = spending([PRUNED | {"learned": None}]).pruning
    assert (unknown, unknown.known) == (Saving(0.0, 0, 1), None)


def test_the_cache_saves_what_passes_would_have_taken_less_what_it_took() -> None:
    """The builder says 2 s for 100 tokens in a block; 4 epochs of 1000 and 4 evaluations of 100 are 4400."""
    builder = ROW | {"cached": True, "frozen": FROZEN | {"built": 100, "seconds": 2.0}, "phases": {"cache": 3.0}}
    reader = ROW | {"cached": True, "frozen": FROZEN, "phases": {"cache": 1.0}}
    assert spending([builder, reader]).caching == Saving(2 * 88.0 - 4.0, 2, 0)
    elsewhere = reader | {"device": "another"}
    assert spending([builder, elsewhere]).caching == Saving(88.0 - 3.0, 1, 1)
    assert spending([reader]).caching.known is None


def test_what_is_left_is_at_the_mean_of_what_is_over() -> None:
    running = ROW | {"state": "RUNNING", "work": 30.0}
    assert spending([ROW, PRUNED, running], unbegun=2).to_finish == 70.0 * 2 + 40.0
    assert spending([running | {"work": 500.0}, ROW]).to_finish == 0.0
    assert spending([running], unbegun=2).to_finish is None
    assert spending([]).to_finish == 0.0


def test_a_price_counts_waiting_too() -> None:
    found = price(spending([ROW | {"work": 3000.0, "waiting": 600.0}], unbegun=1), 2.0)
    assert found == {"spent": 2.0, "to_finish": pytest.approx(3000 / 3600 * 2)}
    assert price(spending([], unbegun=1), 2.0)["to_finish"] is None


def test_a_trial_that_nobody_began_is_still_to_come_and_took_nothing() -> None:
    queued = ROW | {"state": "WAITING", "begun": False, "work": 0.0, "devices": {}}
    assert spending([ROW, queued], unbegun=1) == spending([ROW], unbegun=1)


@pytest.fixture
def report(store: Store) -> Report:
    return Report(store.database, store.engine)


def shift(engine: Engine, statement: str) -> None:
    """Move times in the books, so that a test need not wait."""
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_attempts_are_added_up_with_the_waits_between_them(store: Store, report: Report) -> None:
    """Trial 0: an attempt of 100 s whose worker died, then one of 50 s, by another; trial 1 by that one, 7 s later."""
    create(store, trials=2, pruner="none")
    evaluate(begun(store, "one"), 0.5)
    store.end_attempts_of("one", "died")
    again = begun(store, "two")
    evaluate(again, 0.4, 0.3, after=2)
    again.finish("complete")
    begun(store, "two")
    at = "timestamptz '2026-11-22 12:00:00Z' + make_interval(secs => {})"
    for trial, attempt, start, end in ((0, 1, 0, 100), (0, 2, 110, 160), (1, 1, 167, None)):
        ended = "NULL" if end is None else at.format(end)
        shift(
            store.engine,
            f"UPDATE hpo.attempts a SET started = {at.format(start)}, ended = {ended} FROM trials t "
            f"WHERE t.trial_id = a.trial_id AND number = {trial} AND attempt = {attempt}",
        )
    first, second = report.spent("toy")
    assert (first["state"], first["work"], first["earlier"], first["waiting"]) == ("COMPLETE", 150.0, 100.0, 0.0)
    assert first["devices"] == {"gpu 7": 150.0}
    assert (second["state"], second["waiting"], second["earlier"]) == ("RUNNING", 7.0, 0.0)
    assert second["work"] > 0
    assert report.spent("another") == []


class Asked:
    """A report that says which numbers it was asked about."""

    def __init__(self, report: Report) -> None:
        self.report, self.numbers = report, list[int]()

    def spent(self, study: str, **which: Any) -> list[dict[str, Any]]:
        found = self.report.spent(study, **which)
        self.numbers = [row["number"] for row in found]
        return found


def test_of_trials_that_are_over_each_is_read_and_added_once(store: Store, report: Report) -> None:
    """Time and again all that changes is a trial that runs, one that is queued, one that dies and is taken over."""
    create(store, trials=8, pruner="none")
    asked = Asked(report)
    spent = Spent(asked, "toy")  # type: ignore[arg-type]

    def look() -> list[int]:
        shift(store.engine, "UPDATE hpo.attempts SET started = beat - interval '100 s' WHERE beat - started < '9 s'")
        found, anew = spent(3), spending(report.spent("toy"), 3)
        assert (found.work, found.to_finish) == (pytest.approx(anew.work, abs=2), pytest.approx(anew.to_finish, abs=2))
        assert found.outcomes == pytest.approx(anew.outcomes, abs=2)
        assert found.waiting == anew.waiting
        return asked.numbers

    first, second = begun(store, "one"), begun(store, "two")
    store.enqueue("toy", [{"simulated.learning_rate": 0.01}])
    assert look() == [0, 1, 2]
    evaluate(first, 0.5)
    first.finish("complete")
    assert look() == [0, 1, 2]
    evaluate(second, 0.4)
    store.end_attempts_of("two", "died")
    assert look() == [1, 2]
    adopted = begun(store, "one")
    third = begun(store, "three")
    assert (adopted.claim.number, third.claim.number) == (1, 2)
    third.finish("fail", "out of memory")
    later = begun(store, "three")
    assert look() == [1, 2, 3]
    evaluate(adopted, 0.3, 0.2, after=1)
    adopted.finish("complete")
    later.finish("fail", "out of memory")
    assert look() == [1, 3]
    assert [look(), look()] == [[], []]


def test_a_copy_waited_as_long_as_what_it_was_copied_from(store: Store, report: Report) -> None:
    create(store, trials=2, pruner="none")
    for _ in range(2):
        trial = begun(store)
        evaluate(trial, 0.5)
        trial.finish("complete")
    changing.copy(store, "toy", "copied", trials_too=True)
    before = report.spent("toy")
    assert before[1]["waiting"] > 0
    assert [row["waiting"] for row in report.spent("copied")] == [row["waiting"] for row in before]


def test_time_after_the_last_beat_is_no_work(store: Store, report: Report) -> None:
    """A machine was switched off for days; nobody has taken over its trial, then one does, and another counts hours."""
    create(store, trials=2, stop={"hours": 1})
    begun(store)
    shift(store.engine, "UPDATE hpo.attempts SET started = clock_timestamp() - interval '3 days'")
    shift(store.engine, "UPDATE hpo.attempts SET beat = started + interval '600 s', grace = '0 s'")
    for claimant in (None, "two", "three"):
        if claimant:
            claimed(store, claimant)
        assert report.spent("toy")[0]["work"] == pytest.approx(600, abs=30)
        lost = report.attempts("toy")[0]
        assert (lost["until"] - lost["started"]).total_seconds() == 600


def test_only_the_pruners_verdict_counts_as_pruned_by_it(store: Store, report: Report) -> None:
    create(store, trials=2, objective={"simulated": {"evaluations": 4}}, pruner={"kind": "threshold", "upper": 1.0})
    for loss in (2.0, float("nan")):
        trial = begun(store)
        evaluate(trial, loss)
        trial.finish("pruned")
    assert [row["by_pruner"] for row in report.spent("toy")] == [True, False]
    assert [(row["epochs"], row["of_epochs"]) for row in report.spent("toy")] == [(0.5, 4)] * 2


def test_checkpoints_stand_apart_from_reports(store: Store) -> None:
    create(store)
    trial = begun(store)
    evaluate(trial, 0.5)
    trial.result, trial.checkpointing = Result(1, 1, {"train": 3.0, "report": 2.0}, {}), 0.5
    trial.finish("complete")
    with store.engine.begin() as connection:
        kept = connection.scalar(text("SELECT seconds FROM hpo.results"))
    assert kept == {"train": 3.0, "report": 1.5, "checkpoint": 0.5}


def test_a_worker_says_what_its_checkpoints_took(config: Config, store: Store) -> None:
    create(store, trials=1)
    working.run(replace(config, checkpoint=0.0), "toy", worker("here"), threading.Event())
    with store.engine.begin() as connection:
        kept = connection.scalar(text("SELECT seconds FROM hpo.results"))
    assert 0 < kept["checkpoint"] < 10
    assert kept["report"] >= 0


def test_the_command_says_all_of_it(read: Callable[..., Any]) -> None:
    said = read("cost", "-s", "toy", "--rate", "3600").out
    for part in ("work ", "waiting between trials", "unknown", "not split", "complete ", "saved by pruning: "):
        assert part in said
    assert "to finish: about 00:00 of work\n" in said
    found = json.loads(read("cost", "-s", "toy", "--rate", "3600", "--json").out)
    assert found["price"]["spent"] == pytest.approx(found["work"] + found["waiting"])
    assert found["outcomes"] == {"complete": pytest.approx(found["work"])}
    assert found["saved"]["caching"] == {"seconds": 0.0, "unknown_trials": 0}
    assert json.loads(read("cost", "-s", "toy", "--json").out)["price"] is None


@pytest.mark.parametrize("rate", ["nan", "inf", "-1"])
def test_what_is_no_price_is_refused(read: Callable[..., Any], rate: str) -> None:
    assert read("cost", "-s", "toy", "--rate", rate).code == 2


def test_the_command_says_what_it_does_not_know(run: Callable[..., Any], store: Store) -> None:
    create(store)
    begun(store)
    assert "to finish: not known before the first trial is over" in run("cost", "-s", "toy").out
