"""Rules that end a study: what holds, that no row is made after, what is still finished, and how one goes on."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from moves import begun, claim, claimed, count, create, evaluate, rows, silence, spec, worker
from sqlalchemy import text
from support import wait_until

from hpo import changing, checks, claims, control, search
from hpo import worker as working
from hpo.attempts import Claim
from hpo.claims import Nothing
from hpo.complaints import ComplaintError
from hpo.config import Config
from hpo.promise import SHARE, Promise
from hpo.rules import Stop
from hpo.running import Study, Superseded
from hpo.spec import StudySpec, differences
from hpo.store import Store
from objectives.evaluation import Evaluation

Run = Callable[..., Any]


def finish(store: Store, *losses: float, outcome: Any = "complete", name: str = "one") -> None:
    """Claim a trial for each loss, and finish it so."""
    for loss in losses:
        evaluate(begun(store, name), loss).finish(outcome)


def ended(store: Store) -> str | None:
    found = rows(store, "SELECT ended_by FROM hpo.studies")[0][0]
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("stop", "metric", "said"),
    [
        ({"hours": 0}, "val_loss", "stop.hours: 0 is too low; it must be above 0"),
        ({"no_improvement": 0}, "val_loss", "stop.no_improvement: 0 is too low; it must be at least 1"),
        ({"no_improvement": 1.5}, "val_loss", "stop.no_improvement: 1.5 is not a whole number"),
        ({"target": "low"}, "val_loss", "stop.target: 'low' is not a number"),
        ({"target": -1}, "val_loss", "stop.target: -1.0 is no value to reach; val_loss is at least 0"),
        ({"target": 95}, "accuracy", "stop.target: 95.0 is no value to reach; accuracy is a share: above 0, at most 1"),
        ({"expected_gain": 0}, "val_loss", "stop.expected_gain: 0 is too low; it must be above 0"),
        ({"expected_gains": 1}, "val_loss", "stop.expected_gains: unknown setting; did you mean expected_gain?"),
        ({"target": 0.5}, "val_los", "metric: 'val_los' is unknown; did you mean val_loss?"),
        (3, "val_loss", "stop: 3 is not a mapping of settings"),
    ],
)
def test_what_is_wrong_is_said(stop: Any, metric: str, said: str) -> None:
    tree = {"study": "toy", "objective": {"simulated": {}}, "search": {"simulated.batch_size": [8, 16]}}
    with pytest.raises(ComplaintError) as refused:
        checks.parse(tree | {"stop": stop, "metric": metric})
    assert said in [str(one) for one in refused.value.complaints]


def test_it_is_kept_with_the_study_and_no_difference() -> None:
    ruled = spec(stop={"hours": 4, "target": 0.3})
    assert ruled.stop == Stop(hours=4, target=0.3)
    assert StudySpec.from_dict(ruled.to_dict()) == ruled
    assert differences(spec(), ruled) == []


def test_a_target_that_is_reached_ends_the_study_and_its_budget(store: Store) -> None:
    create(store, trials=9, stop={"target": 0.3})
    finish(store, 0.5, 0.31)
    assert ended(store) is None
    finish(store, 0.3)
    assert claim(store) is Nothing.DONE
    assert ended(store) == "stop.target 0.3: val_loss 0.3 was reached"
    assert count(store, "trials") == 3
    assert rows(store, "SELECT state, made, trials, remaining FROM hpo.studies") == [("complete", 3, 9, 0)]
    assert store.open_studies() == []


def test_a_target_of_a_metric_that_is_better_high(store: Store) -> None:
    create(store, trials=9, metric="accuracy", stop={"target": 0.9})
    for accuracy in (0.8, 0.91):
        trial = begun(store)
        trial.report(evaluation(accuracy))
        trial.finish("complete")
    assert claim(store) is Nothing.DONE
    assert ended(store) == "stop.target 0.9: accuracy 0.91 was reached"


def evaluation(accuracy: float) -> Any:
    return Evaluation(1, 1.0, {"val_loss": 1.0, "accuracy": accuracy})


def test_trials_that_run_are_queued_or_lost_their_worker_are_still_finished(store: Store) -> None:
    create(store, trials=9, stop={"target": 0.3})
    running, lost = begun(store, "one"), begun(store, "two")
    finish(store, 0.1, name="three")
    assert claim(store, "three") is Nothing.WAIT
    assert ended(store) is not None
    store.enqueue("toy", [{}])
    silence(store)
    adopted = [claimed(store, name).number for name in ("four", "five", "six")]
    assert sorted(adopted) == [running.claim.number, lost.claim.number, 3]
    assert count(store, "trials") == 4
    assert rows(store, "SELECT made FROM hpo.studies") == [(3,)]


def test_so_many_trials_without_a_better_one_end_it(store: Store) -> None:
    """Pruned ones count, failed ones do not, and a better one begins anew."""
    create(store, trials=20, stop={"no_improvement": 3})
    finish(store, 0.9, 0.9, outcome="pruned")
    finish(store, 0.5, 0.6, 0.5, 0.4)
    finish(store, 0.9, outcome="pruned")
    finish(store, 0.9, 0.9, outcome="fail")
    finish(store, 0.45)
    assert ended(store) is None
    finish(store, 0.8, outcome="pruned")
    assert claim(store) is Nothing.DONE
    assert ended(store) == "stop.no_improvement 3: 3 trials ended since the best one"


def test_hours_are_those_of_all_workers_running_trials_included(store: Store) -> None:
    create(store, trials=20, stop={"hours": 2})
    finish(store, 0.5)
    begun(store, "two")
    back(store, "3500 seconds")
    assert isinstance(claim(store, "three"), Claim)
    back(store, "150 seconds")
    assert claim(store, "four") is Nothing.WAIT
    assert str(ended(store)).startswith("stop.hours 2: 2.0")


def back(store: Store, interval: str) -> None:
    """Let all attempts have taken so much longer: they began earlier, and none that is over was counted yet."""
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE hpo.attempts SET started = started - interval '{interval}', counted = false"))
        connection.execute(text("UPDATE hpo.plans SET worked = 0"))


def test_a_trial_that_was_given_back_counts_once(store: Store) -> None:
    """It is neither running nor over: 1.25 of 2 hours."""
    create(store, trials=20, stop={"hours": 2})
    trial = begun(store, "one")
    control.pause(store, "toy", "somebody", [trial.claim.number])
    store.release(trial.claim)
    back(store, "4500 seconds")
    for name in ("two", "three"):
        assert isinstance(claim(store, name), Claim)


def test_an_attempt_counts_once_with_what_it_turned_out_to_be(store: Store) -> None:
    """Its worker died after Optuna had heard of the end, and was seen dying, before a claim put the books in order."""
    create(store, trials=9, stop={"no_improvement": 50})
    trial = evaluate(begun(store, "one"), 0.5)
    trial.trial.study.tell(trial.trial, 0.5)
    store.end_attempts_of("one", "died")
    for name in ("two", "three", "four"):
        claimed(store, name)
    assert rows(store, "SELECT best, since FROM hpo.plans") == [(0.5, 0)]
    assert count(store, "hpo.attempts WHERE counted") == 1


def test_a_study_without_such_rules_counts_nothing(store: Store) -> None:
    create(store, trials=9, stop={"expected_gain": 0.1})
    finish(store, 0.5, 0.4)
    claimed(store)
    assert rows(store, "SELECT worked, best, since FROM hpo.plans") == [(0.0, None, 0)]
    assert count(store, "hpo.attempts WHERE counted") == 0


def test_no_row_is_made_after_a_rule_held_however_many_workers_ask(store: Store) -> None:
    create(store, trials=500, stop={"no_improvement": 12})
    losses = iter([0.5] + [0.9] * 500)

    def serve(number: int) -> int:
        own, served = Store(store.database), 0
        while isinstance(found := claim(own, f"w{number}"), Claim):
            with suppress(Superseded):  # another claim may put the books of a finished trial in order first
                evaluate(Study(own, "toy").begin(found, own.plan("toy").spec), next(losses)).finish("complete")
            served += 1
        own.close()
        return served

    with ThreadPoolExecutor(6) as pool:
        served = sum(pool.map(serve, range(6)))
    assert rows(store, "SELECT made, complete, state FROM hpo.studies") == [(served, served, "complete")]
    assert served <= 13 + 6
    late = "trials, hpo.plans WHERE datetime_start AT TIME ZONE 'UTC' > ended_at"
    assert count(store, late) == 0


def test_a_rule_that_held_is_judged_anew_when_it_is_another(store: Store) -> None:
    create(store, trials=9, stop={"target": 0.3})
    finish(store, 0.2)
    assert claim(store) is Nothing.DONE
    store.create(spec(trials=12, stop={"target": 0.3}))
    assert claim(store) is Nothing.DONE
    store.create(spec(trials=12, stop={"target": 0.1}))
    assert ended(store) is None
    finish(store, 0.25)
    store.create(spec(trials=12, stop={"target": 0.2}))
    assert claim(store) is Nothing.DONE
    assert ended(store) == "stop.target 0.2: val_loss 0.2 was reached"


def test_a_claim_goes_by_the_rules_that_stand_when_it_has_the_lock(store: Store) -> None:
    """Its worker read the study before a launch changed it."""
    old = spec(trials=9, stop={"target": 0.3})
    plan = store.create(old)
    finish(store, 0.2)
    store.create(spec(trials=9, stop={"target": 0.1}))
    with store.engine.begin() as connection:
        assert isinstance(claims.claim(connection, plan.study_id, old, worker()), Claim)
    assert ended(store) is None


def test_a_launch_waits_for_a_claim_that_is_under_way(store: Store) -> None:
    plan, other = store.create(spec()), Store(store.database)
    with ThreadPoolExecutor(1) as pool:
        with store.engine.begin() as connection:
            claims.lock(connection, claims.CLAIM_LOCK, plan.study_id)
            launched = pool.submit(other.create, spec(stop={"hours": 1}))
            waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            wait_until(lambda: launched.done() or connection.scalar(text(waits)))
            assert not launched.done()
        assert launched.result(60).spec.stop == Stop(hours=1)
    other.close()


def test_a_rule_that_comes_later_knows_what_was_before(store: Store) -> None:
    create(store, trials=9)
    finish(store, 0.2, 0.5, 0.6)
    store.create(spec(trials=9, stop={"no_improvement": 2}))
    assert claim(store) is Nothing.DONE


def test_a_copy_with_all_trials_is_ended_too_and_counts_for_itself(store: Store) -> None:
    create(store, trials=9, stop={"target": 0.3})
    finish(store, 0.5, 0.2)
    assert claim(store) is Nothing.DONE
    changing.copy(store, "toy", "again", trials_too=True)
    assert claim(store, study="again") is Nothing.DONE
    store.create(spec(study="again", trials=9, stop={"no_improvement": 1}))
    assert isinstance(claim(store, study="again"), Claim)
    assert rows(store, "SELECT best, since FROM hpo.plans ORDER BY study_id")[1] == (0.2, 0)
    changing.copy(store, "toy", "fresh")
    assert isinstance(claim(store, study="fresh"), Claim)


def test_a_rule_that_was_changed_meanwhile_ends_nothing(store: Store) -> None:
    plan = store.create(spec(trials=9, stop={"expected_gain": 0.1}))
    assert not store.end(plan.study_id, Stop(expected_gain=0.2), "stop.expected_gain 0.2: another")
    assert ended(store) is None
    assert store.end(plan.study_id, Stop(expected_gain=0.1), "stop.expected_gain 0.1: this one")
    assert claim(store) is Nothing.DONE


def complete(store: Store, trials: int) -> Study:
    study = Study(store, "toy")
    for number in range(trials):
        trial = study.begin(claimed(store, "one"), store.plan("toy").spec)
        evaluate(trial, 0.5 + trial.params["simulated.dropout"] + number / 1000).finish("complete")
    return study


def test_a_study_ends_where_little_is_left_to_be_gained(store: Store) -> None:
    create(store, trials=50, stop={"expected_gain": 1e-6})
    study = complete(store, search.FEWEST - 1)
    assert search.expected_gain(study.optuna, store.plan("toy").spec) is None
    complete(store, 1)
    gain = search.expected_gain(study.optuna, store.plan("toy").spec)
    assert gain is not None
    assert gain > 0
    assert gain == search.expected_gain(study.optuna, store.plan("toy").spec)
    Promise()(study, store.plan("toy").spec)
    assert ended(store) is None
    store.create(spec(trials=50, stop={"expected_gain": gain * 1.01}))
    Promise()(study, store.plan("toy").spec)
    assert str(ended(store)).startswith("stop.expected_gain ")
    assert claim(store) is Nothing.DONE


def test_the_estimate_takes_a_small_share_of_a_workers_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, now, asked = store.create(spec(stop={"expected_gain": 0.1})), [0.0], []

    def slow(*_: Any) -> float:
        asked.append(now[0])
        now[0] += 3.0
        return 1.0

    monkeypatch.setattr(search, "expected_gain", slow)
    promise, study = Promise(lambda: now[0]), Study(store, "toy")
    for _ in range(5):
        promise(study, plan.spec)
        now[0] += 1.0 / SHARE
    assert asked == [0.0, 3.0 + 3 / SHARE]


def test_a_worker_judges_it_after_its_trials(config: Config, store: Store) -> None:
    store.create(spec(trials=search.FEWEST + 5, stop={"expected_gain": 1e6}))
    working.run(config, "toy", worker("here"), threading.Event())
    assert rows(store, "SELECT complete, state FROM hpo.studies") == [(search.FEWEST, "complete")]
    assert str(ended(store)).startswith("stop.expected_gain 1e+06: at most ")


def test_commands_say_which_rule_it_was_and_how_to_go_on(run: Run, toy_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(toy_file.read_text() + "stop: {target: 100, hours: 5}\n")
    said = run("launch", "-s", str(file)).err
    assert "ended by stop.target 100: val_loss " in said
    assert "toy: 1 complete, 0 pruned, 0 failed" in said
    assert re.search("^ended_by +stop.target 100: val_loss ", run("status", "-s", "toy").out, re.MULTILINE)
    assert run("studies").out.splitlines()[0].split()[-1] == "ended_by"
    assert run("studies").out.splitlines()[1].split()[-1] == "stop.target"
    assert "ended by stop.target 100" in run("watch", "-s", "toy").err
    again = run("launch", "-s", str(file), "--trials", "+4")
    assert "toy is complete: 1 of 7 trials, then stop.target 100: val_loss " in again.err
    assert f"hpo launch -s {file} --set stop.target=null" in again.err
    on = run("launch", "-s", str(file), "--set", "stop.target=null", "--trials", "+1")
    assert "toy: 8 complete" in on.err
    assert "ended by" not in on.err


def test_a_checked_file_shows_the_rules_that_are_set(run: Run, toy_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(toy_file.read_text() + "stop: {hours: 1.5}\n")
    assert "stop: {hours: 1.5}\n" in run("check", str(file)).out
    assert (
        "Error: --set stop.hours: -1 is too low; it must be above 0"
        in run("check", str(file), "--set", "stop.hours=-1").err
    )
