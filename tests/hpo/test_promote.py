"""What is promoted of a study, what is refused, and what the retrainings show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pets
import pytest

from hpo import card, fitting, intervals, promote, report, spec, verdict
from hpo.config import Config
from hpo.errors import HpoError, SpecError, StudyError
from hpo.onepage import account
from hpo.promote import Wish
from hpo.promotion import Candidate, Promotion
from hpo.spec import StudySpec
from hpo.store import Store, open_store

Run = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of few rows and a tiny model."""
    return pets.save(tmp_path)


def trial(number: int, value: float | None, rate: float, **more: Any) -> dict[str, Any]:
    params = {"training.learning_rate": rate, "training.warmup_ratio": 0}
    state = "PRUNED" if value is None else "COMPLETE"
    return {"number": number, "state": state, "value": value, "best_step": 2, "params": params | more}


def test_the_best_configurations_are_taken_once_each_beside_the_defaults(file: Path) -> None:
    trials = [trial(0, 0.9, 1e-3), trial(1, 0.5, 1e-2), trial(2, 0.4, 1e-2), trial(3, None, 2e-2), trial(4, 0.6, 3e-2)]
    found = list(promote.candidates(spec.load(file), trials, 2))
    assert [(one.number, one.stop, one.defaults) for one in found] == [(2, 2, False), (4, 2, False), (0, 2, True)]
    assert found[0].params == {"training.learning_rate": 1e-2, "training.warmup_ratio": 0.0}
    assert isinstance(found[0].params["training.warmup_ratio"], float)
    only = list(promote.candidates(spec.load(file), trials[1:2], 2))
    assert [(one.number, one.stop, one.defaults) for one in only] == [(1, 2, False), (None, None, True)]
    assert [one.number for one in promote.candidates(spec.load(file), trials[:1], 3)] == [0]


def test_no_rule_of_the_study_ends_its_companion(file: Path) -> None:
    own = spec.load(file, ["stop={target: 0.3}"])
    chosen = tuple(promote.candidates(own, [trial(0, 0.2, 1e-3)], 1))
    assert own.stop.target == 0.3
    assert promote._companion(own, promote.Promotion(own.study, 1, "train", (1, 2), chosen)).stop.target is None


def test_a_higher_metric_is_taken_from_the_other_end(file: Path) -> None:
    trials = [trial(0, 0.9, 1e-3), trial(1, 0.5, 1e-2)]
    assert next(promote.candidates(spec.load(file, ["metric=accuracy"]), trials, 1)).number == 0


def test_the_best_of_each_number_of_rows_is_taken_where_these_are_searched(file: Path) -> None:
    own = spec.load(file, ["search.data.shots=[2, 4, null]"])
    made = [(0.4, 1e-3, None), (0.5, 1e-2, None), (0.8, 1e-2, 2), (0.7, 2e-2, 2), (0.6, 1e-3, 4)]
    trials = [trial(at, value, rate, **{"data.shots": shots}) for at, (value, rate, shots) in enumerate(made)]
    found = list(promote.candidates(own, trials, 1))
    assert [(one.number, one.shots) for one in found] == [(0, None), (4, 4), (3, 2)]
    assert found[0].defaults


@pytest.mark.parametrize(
    ("override", "where"),
    [("search.data.shots=[2, 30]", "search.data.shots"), ("data.shots=30", "objective.data.shots")],
)
def test_more_rows_of_a_class_than_there_are_is_said_before_a_trial(file: Path, override: str, where: str) -> None:
    found = spec.load(file, [override])
    said = rf"pets.yaml: {where}: asks for 30 training rows of each class, and 'neg' has 18"
    with pytest.raises(SpecError, match=said):
        fitting.check_inputs(found, source="pets.yaml")
    assert fitting.check_inputs(spec.load(file, ["search.data.shots={low: 1, high: 18}"]))


def test_what_is_not_trained_cannot_be_fitted_on_more_rows(file: Path) -> None:
    own = spec.load(file, ["training.epochs=0"])
    some = list(promote.candidates(own, [trial(0, 0.2, 1e-2)], 1))
    said = r"--fit all is to train on more rows, and trial 0 has 0 epochs; right is --fit train"
    with pytest.raises(StudyError, match=said):
        promote._check_fitted(own, some)
    with pytest.raises(StudyError, match="the defaults have 0 epochs"):
        promote._check_fitted(own, some[1:])
    searched = spec.load(file, ["search.training.epochs=[0, 2]"])
    tried = [trial(0, 0.2, 1e-3, **{"training.epochs": 2}), trial(1, 0.1, 1e-3, **{"training.epochs": 0})]
    promote._check_fitted(searched, list(promote.candidates(searched, tried[:1], 1)))
    with pytest.raises(StudyError, match="trial 1 has 0 epochs"):
        promote._check_fitted(searched, list(promote.candidates(searched, tried, 1)))


def test_fresh_seeds_follow_from_the_studys_and_are_none_that_were_used() -> None:
    found = list(promote.fresh(7, (), 5))
    assert found == list(promote.fresh(7, (), 8))[:5]
    assert list(promote.fresh(7, found[:2], 3)) == found[2:]
    assert found != list(promote.fresh(8, (), 5))
    assert len({*found}) == 5


@pytest.mark.parametrize(
    ("override", "said"),
    [("data.score=test", "data.score: 'test' is for the end of a study"), ("data.fit=all", "data.fit: 'all' is for")],
)
def test_a_study_file_cannot_ask_for_the_test_rows(file: Path, override: str, said: str) -> None:
    with pytest.raises(SpecError, match=r"hpo promote -s STUDY") as refused:
        spec.load(file, [override])
    assert said in str(refused.value)
    with pytest.raises(SpecError, match="cannot be searched"):
        spec.load(file, ["search.data.score=[valid, test]"])
    with pytest.raises(SpecError, match="kept for companion studies"):
        spec.load(file, ["study=pets@promote"])


def test_what_cannot_be_promoted_is_said_before_anything_is_trained(
    run: Run, config: Config, file: Path, tmp_path: Path
) -> None:
    assert "pets: no such study in the database" in run("promote", "-s", "pets").err
    with open_store(config) as store:
        store.create(spec.load(file))
        store.create(spec.load(file, ["study=none", "data.split.test=0"]))
        toy = {"study": "toy", "objective": {"simulated": {}}, "search": {"simulated.batch_size": [8]}}
        store.create(StudySpec.from_dict(toy))
    assert "pets: no trial is complete yet" in run("promote", "-s", "pets").err
    assert "toy: only fine-tunings have rows to test" in run("promote", "-s", "toy").err
    made = Promotion("none", 1, "train", (1,), (Candidate({"training.learning_rate": 1e-3}, 0, 0.5, 1),))
    with open_store(config) as store, pytest.raises(SpecError, match=r"data\.split\.test: there are no test rows"):
        promote.create(store, config, made, None)


MADE = Promotion("pets", 1, "train", (1,), (Candidate({"training.learning_rate": 1e-3}, 0, 0.5, 1),))


@contextmanager
def with_companion(config: Config, file: Path) -> Iterator[Store]:
    """A store with a study and its companion; no trial of either has begun."""
    own = spec.load(file)
    with open_store(config) as store:
        store.create(own, fitting.check_inputs(own))
        promote.create(store, config, MADE, None)
        yield store


def test_an_earlier_promotion_goes_only_where_another_can_be_made(run: Run, config: Config, file: Path) -> None:
    with with_companion(config, file) as store:
        assert "no trial is complete yet" in run("promote", "-s", "pets", "--again", "-y").err
        store.delete("pets")
        assert "pets: no such study in the database" in run("promote", "-s", "pets", "--again", "-y").err
        assert store.plan("pets@promote")


def test_a_companion_has_no_other_name(run: Run, config: Config, file: Path) -> None:
    """Under a plain name its trials would score the test rows like any other metric."""
    with with_companion(config, file) as store:
        for words in (["--as", "mine"], ["--set", "study=mine"], ["--as", "mine", "--set", "training.epochs=1"]):
            found = run("launch", "-s", "pets@promote", *words)
            assert found.err == "Error: pets@promote belongs to pets, and has no name or copy of its own\n"
        assert not store.has("mine")


def test_a_companion_whose_study_is_gone_is_called_so(run: Run, config: Config, file: Path) -> None:
    with with_companion(config, file) as store:
        store.delete("pets")
    with (
        report.read(config) as rows,
        pytest.raises(StudyError, match="pets@promote retrained the best of pets, which w"),
    ):
        verdict.read(rows, "pets@promote")
    assert "pets@promote belongs to pets: compare that one" in run("compare", "pets@promote").err


def test_a_promotion_goes_along_with_its_renamed_study(run: Run, config: Config, file: Path) -> None:
    with with_companion(config, file) as store:
        for name in ("pets", "pets@promote"):
            (config.logs / name).mkdir(parents=True)
        assert run("rename", "-s", "pets", "dogs").code == 0
        renamed = promote.earlier(store, "dogs")
        assert renamed
        assert (renamed.spec.study, renamed.spec.promotes) == ("dogs@promote", replace(MADE, study="dogs"))
        assert promote.earlier(store, "pets") is None
        assert sorted(path.name for path in config.logs.iterdir()) == ["dogs", "dogs@promote"]
        store.delete("dogs")
        store.create(spec.load(file))
        assert "dogs@promote: there is a study of this name already" in run("rename", "-s", "pets", "dogs").err


def test_what_was_retrained_of_an_earlier_study_of_the_name_is_not_shown(run: Run, config: Config, file: Path) -> None:
    with with_companion(config, file) as store:
        store.delete("pets")
        store.create(spec.load(file))
    said = "pets@promote was made for an earlier study of that name; replace it: hpo promote -s pets --again\n"
    for words in (["promote"], ["errors", "--split", "test"]):
        assert run(words[0], "-s", "pets", *words[1:]).err == f"Error: {said}"
    assert run("compare", "pets").err == f"Error: {said}"
    with report.read(config) as rows:
        assert account.gather(rows, "pets").verdict == said.strip()


STANDING = Candidate({"training.learning_rate": 1e-3}, 1, 0.5, 2)
DEFAULTS = Candidate({"training.learning_rate": 5e-5}, None, None, None, defaults=True)


def judged(file: Path, right: tuple[int, int], valid: tuple[float, float]) -> verdict.Verdict:
    """Two configurations of which so many of 100 test rows are right, with two seeds."""
    made = Promotion("pets", 1, "train", (11, 12), (STANDING, DEFAULTS))
    trials, said = [], []
    for number, point in enumerate(made.points):
        trials.append({"number": number, "state": "COMPLETE", "params": point, "error": None})
        count = right[number % 2]
        predicted = [0] * count + [1] * (100 - count)
        loss = [0.1] * count + [2.0] * (100 - count)
        said.append({"number": number, "classes": ["a", "b"], "truth": [0] * 100, "predicted": predicted, "loss": loss})

    def last(number: int) -> dict[str, Any]:
        share = right[number % 2] / 100
        return {
            "metrics": {"val_loss": valid[number % 2], "accuracy": 0.5, "test_accuracy": share, "test_loss": 1 - share}
        }

    return verdict.verdict(made, spec.load(file), trials, last, said)


def test_a_clear_winner_beats_the_defaults(file: Path) -> None:
    found = judged(file, (90, 60), (0.3, 0.5))
    assert found.winner.candidate is STANDING
    assert found.defaults
    assert (found.defaults.said, found.defaults.better) == ("worse", True)
    assert any("The winner beats the default settings: test_loss by -" in line for line in card.lines(found))


def test_the_test_rows_do_not_choose(file: Path) -> None:
    found = judged(file, (60, 90), (0.3, 0.5))
    assert found.winner.candidate is STANDING
    assert found.defaults
    assert found.defaults.said == "better"
    assert any("The winner is worse than the default settings" in line for line in card.lines(found))


def test_two_that_cannot_be_told_apart_are_called_so(file: Path) -> None:
    found = judged(file, (80, 79), (0.3, 0.5))
    assert found.defaults
    assert found.defaults.said == "not distinguishable"
    said = list(card.lines(found))
    assert any("The winner and the default settings are not distinguishable" in line for line in said)
    assert any("Not distinguishable from the winner on these test rows: the defaults" in line for line in said)


def test_a_model_with_one_answer_for_all_rows_is_said_to_tell_nothing_apart(file: Path) -> None:
    found = judged(file, (90, 60), (0.3, 0.5))
    assert not any("tells nothing apart" in line for line in card.lines(found))
    one, *others = found.winner.trials
    always = replace(one.said, truth=np.array([0, 1] * 50), predicted=np.ones(100, int))
    winner = replace(found.winner, trials=[replace(one, said=always), *others])
    said = list(card.lines(replace(found, winner=winner, comparisons=())))
    assert said[-1] == "Its model says b of every test row: it tells nothing apart."


def test_of_one_seed_it_is_said_that_another_may_say_otherwise(file: Path) -> None:
    found = judged(file, (90, 60), (0.3, 0.5))
    assert not any("single models" in line for line in card.lines(found))
    single = replace(found.comparisons[0], difference=intervals.paired([0.5], [0.4]), p=1.0)
    one = replace(found, promotion=replace(found.promotion, seeds=(11,)), comparisons=(single,))
    said = list(card.lines(one))
    assert any("Of one seed these are single models" in line for line in said)
    assert any("test_loss by +0.1 (no interval of one seed, p = 1; lower is better)" in line for line in said)


def test_no_interval_of_the_card_leaves_what_a_metric_can_be(file: Path) -> None:
    found = judged(file, (98, 60), (0.3, 0.5))
    some = zip(found.winner.trials, (0.9, 1.0), strict=True)
    winner = replace(found.winner, trials=[replace(trial, metrics={"test_accuracy": share}) for trial, share in some])
    assert [(name, of.low > 0, of.high) for name, of, _ in card.metrics(replace(found, winner=winner))] == [
        ("test_accuracy", True, 1.0)
    ]


EVIL = "<b>|`a`](javascript:x)\n# h*"
NOTE = {
    "task": "text-classification",
    "classes": [EVIL, "ok"],
    "text": "t`x`|",
    "label": EVIL,
    "pooling": "head",
    "clean": {},
    "max_length": 8,
    "settings": {"prompt": "`{text}`"},
}


def test_what_rows_say_is_no_markdown_of_the_card(file: Path) -> None:
    found = judged(file, (90, 60), (0.3, 0.5))
    named = [replace(trial, metrics={f"test_f1[{EVIL}]": 0.5}) for trial in found.winner.trials]
    shown = replace(found, winner=replace(found.winner, trials=named), comparisons=())
    said = card.text(shown, card.Made(0, {"a": EVIL}, {"model": EVIL}, None), NOTE).split("```json")[0]
    plain = "&lt;b&gt;\\|\\`a\\`]\\(javascript:x) # h\\*"
    assert f"2 classes, {plain}, ok." in said
    assert f"\n| test_f1[{plain}] | 0.5 |" in said
    column = "<b>\\|`a`](javascript:x) # h*"
    assert f"It reads `` t`x`\\| ``, and predicts what the column `` {column} `` held." in said
    assert "`` `{text}` ``" in said
    assert "\n# h" not in said


def test_defaults_that_win_are_said_to(file: Path) -> None:
    found = judged(file, (60, 90), (0.5, 0.3))
    assert found.defaults is None
    assert any("the search found nothing better" in line for line in card.lines(found))


def test_retrainings_that_are_missing_are_said(file: Path) -> None:
    made = Promotion("pets", 1, "train", (11,), (STANDING,))
    failed = {"number": 0, "state": "FAIL", "params": made.points[0], "error": "boom"}
    with pytest.raises(StudyError, match="1 of 1 retrainings are missing; trial 0: boom; hpo requeue -s pets@promote"):
        verdict.verdict(made, spec.load(file), [failed], lambda _: {}, [])


@pytest.mark.parametrize("metrics", [{}, {"test_loss": None}])
def test_a_retraining_without_the_metric_is_not_called_missing(file: Path, metrics: dict[str, Any]) -> None:
    made = Promotion("pets", 1, "train", (11, 12), (STANDING,))
    trials = [{"number": n, "state": "COMPLETE", "params": point, "error": None} for n, point in enumerate(made.points)]
    said = "pets@promote: test_loss has no value after trial 0 and 1 more: .*; hpo show -s pets@promote 0 shows"
    with pytest.raises(StudyError, match=said):
        verdict.verdict(made, spec.load(file), trials, lambda _: {"metrics": metrics}, [])


def test_a_wish_keeps_to_what_was_promoted_before() -> None:
    before = Promotion("pets", 4, "all", (1, 2), (STANDING,))
    assert promote._as_before(Wish(), before) == Wish(4, 2, "all")
    assert promote._as_before(Wish(seeds=3), before) == Wish(4, 3, "all")
    assert Promotion.from_dict(json.loads(json.dumps(before.to_dict()))) == before


def test_a_folder_of_another_study_is_not_replaced(tmp_path: Path) -> None:
    card.check(tmp_path / "new", "pets")
    card.check(tmp_path, "pets")
    (tmp_path / "hpo.json").write_text('{"study": "cars"}')
    with pytest.raises(HpoError, match="is no folder that a promotion of pets wrote"):
        card.check(tmp_path, "pets")
    with pytest.raises(HpoError, match=r"nothing can be written in .*hpo\.json; name another place"):
        card.check(tmp_path / "hpo.json" / "deep" / "new", "pets")
    card.check(tmp_path, "cars")


def test_a_study_that_went_on_is_said(file: Path) -> None:
    before = Promotion("pets", 1, "train", (1,), (STANDING,))
    now = replace(before, candidates=(replace(STANDING, number=7),))
    with pytest.raises(StudyError, match="the study went on: its best are trials 1 -> trials 7") as refused:
        promote._check_same(before, now)
    assert "hpo promote -s pets --again --top 1 --seeds 1; or look at it" in str(refused.value)
