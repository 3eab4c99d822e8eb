"""What is taken of promoted studies, which of them compare, what is told apart, and what wrong uses say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pets
import pytest

from hpo import baselines, compare, intervals, scores, spec
from hpo.compare import Contestant, Promoted
from hpo.config import Config
from hpo.errors import HpoError, StudyError
from hpo.intervals import Interval
from hpo.promotion import Candidate, Promotion
from hpo.scores import Said
from hpo.store import Plan, open_store
from hpo.verdict import Retraining, Standing, Verdict
from objectives import settings, tfidf
from objectives.data import Splits
from objectives.settings import Transfer
from objectives.tables import Table

Run = Callable[..., Any]
CLASSES = ("neg", "pos")


def said(right: int, rows: int = 40) -> Said:
    """What a model said of which so many rows, the first ones, are right."""
    truth = np.arange(rows) % 2
    return Said(CLASSES, truth, np.where(np.arange(rows) < right, truth, 1 - truth), np.zeros(rows))


def accuracy(some: Said, weights: Any) -> float:
    return scores.score("accuracy", some, weights)


def standing(shots: int | None, number: int, valid: float, right: int) -> Standing:
    candidate = Candidate({"data.shots": shots}, number, valid, 1)
    trials = [Retraining(number, seed, {}, said(right)) for seed in (5, 6)]
    return Standing(candidate, trials, Interval(valid, None, None), Interval(0.5, None, None))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of few rows."""
    return pets.save(tmp_path)


def promoted(file: Path, standings: list[Standing], *overrides: str, fingerprint: str = "f") -> Promoted:
    own = spec.load(file, overrides)
    made = Promotion("pets", 1, "train", (5, 6), tuple(one.candidate for one in standings))
    found = Verdict(made, "val_loss", "test_loss", "minimize", standings, standings[0])
    companion = replace(own, study="pets@promote")
    return Promoted(Plan(1, own, fingerprint=fingerprint), Plan(2, companion, fingerprint=fingerprint), found)


class Books:
    """Three trials of a study and three retrainings, a minute each; of two kinds by their shots."""

    def trials(self, study: str) -> list[dict[str, Any]]:
        return [{"number": number, "params": {"data.shots": shots}} for number, shots in enumerate((4, None, 4))]

    def attempts(self, study: str) -> list[dict[str, Any]]:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return [{"number": at, "started": start, "until": start + timedelta(minutes=1)} for at in (0, 0, 1, 2)]


def test_of_a_study_over_few_rows_the_winner_of_each_number_is_taken(file: Path) -> None:
    standings = [standing(None, 1, 0.3, 30), standing(4, 0, 0.8, 22), standing(4, 2, 0.7, 21)]
    study = promoted(file, standings, "search.data.shots=[4, null]")
    few, whole = compare.contestants(Books(), study)  # type: ignore[arg-type]
    assert (few.name, few.chosen, few.shots, few.seeds) == ("pets, 4 a class", "trial 2", 4, (5, 6))
    assert (few.search, few.training) == (180.0, 180.0)
    assert (whole.name, whole.chosen, whole.shots, whole.search) == ("pets, all rows", "trial 1", None, 60.0)


def test_of_another_study_the_winner_is_taken_with_all_that_was_spent(file: Path) -> None:
    (one,) = compare.contestants(Books(), promoted(file, [standing(None, 1, 0.3, 30)], "data.shots=4"))  # type: ignore[arg-type]
    assert (one.name, one.shots, one.search) == ("pets", 4, 240.0)


@pytest.mark.parametrize(
    ("overrides", "fingerprint", "reason"),
    [
        (["data.shots=4", "training.epochs=1"], "f", None),
        (["data.split.train=20"], "f", None),
        ([], "g", "the files differ"),
        (["data.split.seed=7"], "f", "data.split.seed: None and 7"),
        (["data.clean.deduplicate=true"], "f", "data.clean: "),
        (["data.where.text=good"], "f", "data.where: "),
    ],
)
def test_only_studies_with_the_same_test_rows_compare(
    file: Path, overrides: list[str], fingerprint: str, reason: str | None
) -> None:
    some = [standing(None, 1, 0.3, 30)]
    found = [promoted(file, some), promoted(file, some, *overrides, fingerprint=fingerprint)]
    if reason is None:
        compare.check_same(found)
        return
    with pytest.raises(StudyError, match="pets and pets have other test rows") as refused:
        compare.check_same(found)
    assert reason in str(refused.value)


def test_other_labels_are_other_rows(file: Path) -> None:
    some = standing(None, 1, 0.3, 30)
    other = replace(some, trials=[Retraining(1, 5, {}, replace(said(30), truth=np.zeros(40, int)))])
    with pytest.raises(StudyError, match="their labels differ"):
        compare.check_same([promoted(file, [some]), promoted(file, [other])])


def test_of_many_pairs_each_can_still_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 50)
    good = [Contestant(f"good {place}", [said(40)]) for place in range(4)]
    found = compare.compared([*good, Contestant("bad", [said(4)])], "accuracy", 0)
    assert [pair.one for pair in found.pairs if pair.said.endswith("is better")] == [one.name for one in good]


def test_each_pair_is_tested_and_corrected_for_all_of_them() -> None:
    good, near = ([said(count) for count in some] for some in ((38, 36, 37, 38, 36), (38, 35, 37, 36, 37)))
    sides = [Contestant("good", good, (1, 2, 3, 4, 5)), Contestant("rule", [said(20)])]
    sides.append(Contestant("near", near, (6, 7, 8, 9, 10)))
    found = compare.compared(sides, "accuracy", 0)
    assert [(pair.one, pair.other, pair.said) for pair in found.pairs] == [
        ("good", "rule", "good is better"),
        ("good", "near", "not distinguishable"),
        ("rule", "near", "near is better"),
    ]
    assert found.pairs[0].difference.mean == pytest.approx(37 / 40 - 0.5)
    assert found.pairs[0].p == pytest.approx(3 * 2 / 2001)
    measures = found.measures[0]
    assert list(measures) == list(compare.MEASURES)
    assert measures["accuracy"].mean == pytest.approx(0.925)
    assert measures["accuracy"].low is not None
    assert measures["accuracy"].low < 0.925


def test_seeds_are_drawn_together_where_they_are_the_same_and_else_apart() -> None:
    """Two sides that differ by the same in each seed: what seeds add to both goes out only where they are paired."""
    one = [replace(said(20), loss=np.full(40, height)) for height in (1.0, 2.0, 3.0)]
    other = [replace(side, loss=side.loss - 0.5) for side in one]

    def loss(some: Said, weights: Any) -> float:
        return scores.score("val_loss", some, weights)

    paired = intervals.drawn([one, other], loss, 0, [(1, 2, 3), (1, 2, 3)]).difference(0, 1)
    apart = intervals.drawn([one, other], loss, 0, [(1, 2, 3), (4, 5, 6)]).difference(0, 1)
    assert (paired.low, paired.high) == pytest.approx((0.5, 0.5))
    assert apart.high - apart.low > 1
    assert paired == intervals.bootstrapped(one, other, loss, 0)


def test_an_interval_of_one_model_is_that_of_its_rows() -> None:
    """Of 40 rows with 30 right: the binomial's standard deviation is sqrt(0.75 * 0.25 / 40) = 0.068."""
    found = intervals.drawn([[said(30)]], accuracy, 0).interval(0)
    assert found.mean == 0.75
    assert (found.low, found.high) == pytest.approx((0.75 - 1.96 * 0.068, 0.75 + 1.96 * 0.068), abs=0.03)


def test_a_class_stands_for_itself_unless_it_is_given_a_text() -> None:
    assert baselines.texts_of(["a_b", "c"], ["c=see = this"]) == {"a_b": "a b", "c": "see = this"}
    for wrong in ("d=x", "c", "c= "):
        with pytest.raises(HpoError, match=r"CLASS=TEXT is right, of the classes a_b, c"):
            baselines.texts_of(["a_b", "c"], [wrong])


def test_wrong_uses_end_in_one_line(run: Run, config: Config, file: Path) -> None:
    assert "a file ending in .html, .png or .svg is right" in run("compare", "pets", "-o", "chart.gif").err
    assert "--label-text is for --baseline zero-shot" in run("compare", "pets", "--label-text", "a=b").err
    assert "pets: no such study in the database" in run("compare", "pets").err
    assert run("compare").code == 2
    assert "'rules' is not one of" in run("compare", "pets", "--baseline", "rules").err
    with open_store(config) as store:
        store.create(spec.load(file))
    said = run("compare", "pets")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "pets has no predictions on its test rows: hpo promote -s pets --top 1 makes them" in said.err
    assert "pets: no trial is complete yet" in run("compare", "pets", "--promote").err


def test_images_have_no_words_for_a_rule_to_read(config: Config) -> None:
    table = Table({"text": ["a.png", "b.png"], "label": ["neg", "pos"]})
    chosen = settings.parse({"task": "image-classification", "data": "rows.csv"})
    ground = baselines.Ground(cast(Transfer, chosen), CLASSES, Splits(table, table, table))
    for kind in ("tfidf", "zero-shot"):
        with pytest.raises(HpoError, match=f"--baseline {kind}: reads words, and these rows are images; right is maj"):
            next(baselines.made(config, ground, kind, {}, []))
    assert next(baselines.made(config, ground, "majority", {}, [])).name == "majority"


def test_rules_read_both_texts_of_a_pair() -> None:
    table = Table({"text": ["a premise", "x " * 1000], "more": ["it says", "so it is"], "label": ["neg", "pos"]})
    data = {"path": "rows.csv", "pair": "more"}
    chosen = cast(Transfer, settings.parse({"task": "text-classification", "data": data}))
    ground = baselines.Ground(chosen, CLASSES, Splits(table, table, table))
    assert [*ground.test.texts] == ["a premise it says", "x " * 1000 + " so it is"]  # as an encoder reads them
    first, second = ground.labelled("test", tfidf.READ // 2).texts
    assert (first, second[-9:], len(second)) == ("a premise it says", " so it is", tfidf.READ // 2 + 9)
    (asked,) = baselines.made(Config(Path()), ground, "tfidf", {}, [Contestant("pets", [], (1,))])
    assert asked.said[0].predicted.tolist() == asked.said[0].truth.tolist()


def test_the_names_of_the_command_are_those_of_the_code() -> None:
    from hpo.cli import compare as command

    assert (command.KINDS, command.METRICS) == (baselines.KINDS, compare.MEASURES)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_a_chart_names_all_of_them(tmp_path: Path, suffix: str) -> None:
    from hpo.plots import beside

    out = tmp_path / f"chart{suffix}"
    entries = [
        beside.Entry("研究 <a>", Interval(0.8, 0.7, 0.9), False),
        beside.Entry("rule", Interval(0.5, 0.4, 0.6), True),
    ]
    beside.save(out, "f1_macro", 40, entries)
    if suffix == ".png":
        assert out.read_bytes().startswith(b"\x89PNG")
        return
    text = out.read_text("utf-8")
    assert all(part in text for part in ("研究 &lt;a&gt;", "rule", "f1_macro on the test rows", "0.8"))
