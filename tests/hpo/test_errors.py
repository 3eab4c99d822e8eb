"""What a model gets wrong: mistakes, confused classes, slices and calibration, of rows that may be gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import moves
import numpy as np
import pytest

from hpo import asked, fitting, mistakes, spec
from hpo.calibration import calibration
from hpo.config import Config
from hpo.errors import SpecError
from hpo.running import Study
from hpo.scores import Said
from hpo.store import open_store
from objectives import data
from objectives.evaluation import Evaluation, Predictions

Run = Callable[..., Any]
ROWS = 40
STUDY = """
study: mail
objective:
  task: text-classification
  data: {path: rows.csv, split: {valid: 20, test: 10}}
search: {training.learning_rate: {low: 1e-4, high: 1e-1, log: true}}
sampler: random
pruner: none
trials: 2
"""


def said(truth: list[int], predicted: list[int]) -> Said:
    return Said(["a", "b", "c"], np.array(truth), np.array(predicted), np.zeros(len(truth)))


def test_the_calibration_error_is_what_a_hand_computes() -> None:
    found = calibration([0.55, 0.65, 0.62, 0.95, 1.0], [True, False, True, True, True])
    # bins: one row 0.55 beside 1, two rows 0.635 beside 0.5, two rows 0.975 beside 1
    assert found.error == pytest.approx((1 * 0.45 + 2 * 0.135 + 2 * 0.025) / 5)
    assert [(one.low, one.rows, one.accuracy) for one in found.bins] == [
        (pytest.approx(0.5), 1, 1.0),
        (pytest.approx(0.6), 2, 0.5),
        (pytest.approx(0.9), 2, 1.0),
    ]


def test_a_bin_holds_its_upper_end_and_an_empty_one_is_left_out() -> None:
    assert [(one.low, one.high) for one in calibration([0.5, 0.0], [True, False], bins=2).bins] == [(0.0, 0.5)]
    assert calibration([], []).error == 0


def test_the_most_confident_mistakes_come_first() -> None:
    found = mistakes.confident(said([0, 1, 2, 0], [0, 0, 1, 1]), [0.99, 0.5, 0.8, 0.8], 2)
    assert [(one.row, one.truth, one.predicted, one.probability) for one in found] == [
        (2, "c", "b", 0.8),
        (3, "a", "b", 0.8),
    ]


def test_confused_pairs_are_counted_in_each_direction() -> None:
    found = mistakes.confused(said([0, 0, 0, 1, 1, 2], [1, 1, 0, 0, 1, 2]), 5)
    assert [(one.truth, one.predicted, one.rows, one.share) for one in found] == [
        ("a", "b", 2, pytest.approx(2 / 3)),
        ("b", "a", 1, 0.5),
    ]


def test_a_slice_has_metrics_of_its_own_and_a_note_where_it_is_small() -> None:
    values = ["web"] * 30 + ["phone"] * 2
    found = mistakes.slices(said([0, 1] * 16, [0, 1] * 15 + [1, 1]), values)
    assert [(one.value, one.rows, one.accuracy, one.f1_macro) for one in found] == [
        ("web", 30, 1.0, 1.0),
        ("phone", 2, 0.5, pytest.approx(1 / 3)),
    ]
    assert found[0].note is None
    assert found[1].note == "few rows: accuracy is 0.09 to 0.91 (95 %)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of rows that have a source, which for some is empty."""
    lines = [
        f'"text {n} of\nmany {"字" * 60}",{"spam" if n % 2 else "ham"},{["web", "phone", ""][n % 3]}'
        for n in range(ROWS)
    ]
    (tmp_path / "rows.csv").write_text("text,label,source\n" + "\n".join(lines) + "\n")
    (tmp_path / "mail.yaml").write_text(STUDY)
    return tmp_path / "mail.yaml"


@pytest.fixture
def seen(config: Config, file: Path) -> Path:
    """The study with a trial that is wrong about rows 3, 7 and 11, most of all about 7."""
    own = spec.load(file)
    wanted = spec.settings_for(own, {})
    valid = data.load(wanted.data, 0).valid  # type: ignore[union-attr]
    truth = [["ham", "spam"].index(label) for label in valid.column("label")]
    predicted = [1 - place if row in (3, 7, 11) else place for row, place in enumerate(truth)]
    chances = [0.9 if row == 7 else 0.8 for row in range(20)]
    kept = Predictions("valid", ("ham", "spam"), truth, predicted, chances, [0.1] * 20)
    with open_store(config) as store:
        store.create(own, fitting.check_inputs(own))
        trial = Study(store, "mail").begin(moves.claimed(store, study="mail"), own)
        trial.report(Evaluation(1, 1.0, {"val_loss": 0.1}, predictions=kept))
        trial.finish("complete")
    return file


def test_mistakes_are_shown_with_the_rows_they_are_about(run: Run, seen: Path) -> None:
    found = run("errors", "-s", "mail", "--top", "2", "--slice", "source")
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert lines[0].startswith("mail, trial 0, evaluation 1: 3 of 20 valid rows are wrong; accuracy 0.850")
    assert lines[4].split()[:2] == ["7", lines[4].split()[1]]
    assert "0.900  text " in lines[4]
    assert "…" in lines[4]
    assert not [line for line in lines if "many" in line and "text" not in line]
    assert "(empty)" in found.out
    assert "few rows: accuracy is" in found.out
    assert "expected calibration error" in found.out


def test_all_of_it_is_one_object(run: Run, seen: Path) -> None:
    found = json.loads(run("errors", "-s", str(seen), "--json", "--slice", "source").out)
    rows = data.read(seen.parent / "rows.csv")
    first = found["mistakes"][0]
    line = int(first["where"].partition(":")[2])
    at = list(rows.lines or ()).index(line)
    assert (first["row"], first["text"], first["truth"]) == (7, rows.column("text")[at], rows.column("label")[at])
    assert [one["row"] for one in found["mistakes"]] == [7, 3, 11]
    assert sum(one["rows"] for one in found["slices"]) == 20
    assert sum(one["rows"] for one in found["confused"]) == 3
    assert found["calibration"]["error"] == pytest.approx(0.135)
    assert found["rows_missing"] is None


def test_rows_that_are_gone_or_others_are_told_by_their_number(run: Run, seen: Path) -> None:
    rows = seen.parent / "rows.csv"
    rows.write_text(rows.read_text().replace("text 1 ", "text one "))
    changed = run("errors", "-s", "mail", "--slice", "source")
    assert "their fingerprint is another" in changed.err
    assert "text" not in changed.out.partition("confused")[0].replace("text,", "")
    assert [line.split()[0] for line in changed.out.splitlines()[4:7]] == ["7", "3", "11"]
    rows.unlink()
    gone = run("errors", "-s", "mail")
    assert gone.code == 0
    assert "the rows cannot be read on this machine: data.path: no such file" in gone.err


def test_what_cannot_be_shown_is_one_line(run: Run, config: Config, seen: Path) -> None:
    assert "mail: data.slice: " in (wrong := run("errors", "-s", "mail", "--slice", "sauce").err)
    assert "did you mean 'source'?" in wrong
    assert (
        "no model of it has seen the test rows; hpo promote -s mail"
        in run("errors", "-s", "mail", "--split", "test").err
    )
    with open_store(config) as store:
        store.create(spec.load(seen, ["study=empty"]))
        moves.create(store)
        moves.begun(store, study="mail").finish("complete")
    assert "there is no trial 9" in run("errors", "-s", "mail", "--trial", "9").err
    assert "trial 1 said of the valid rows is not kept" in run("errors", "-s", "mail", "--trial", "1").err
    assert "empty: no trial is complete yet" in run("errors", "-s", "empty").err
    assert "toy: a simulated objective has no rows" in run("errors", "-s", "toy").err


def test_the_column_of_the_slices_is_checked_and_changes_no_row(file: Path) -> None:
    plain, sliced = spec.load(file), spec.load(file, ["data.slice=source"])
    assert fitting.check_inputs(plain) == fitting.check_inputs(sliced)
    with pytest.raises(SpecError, match=r"data\.slice: .* has no column 'sauce'; .*did you mean 'source'\?"):
        fitting.check_inputs(spec.load(file, ["data.slice=sauce", "data.clean.drop_empty=true"]))
    with pytest.raises(SpecError, match="cannot be searched"):
        spec.load(file, ["search.data.slice=[source, label]"])
    where = asked.Where("valid", "source", fitting.check_inputs(plain))
    found = asked.ask(spec.load(file, ["data.clean.drop_empty=true"]), {}, where)
    assert (len(found.texts), len(found.values), "" in found.values) == (20, 20, True)


def test_a_study_may_name_the_column_later(config: Config, run: Run, seen: Path) -> None:
    own = spec.load(seen, ["data.slice=source"])
    with open_store(config) as store:
        store.create(own, fitting.check_inputs(own))
    assert "by source" in run("errors", "-s", "mail").out


def test_only_rows_to_validate_or_test_need_the_column(file: Path) -> None:
    folder = file.parent
    rows = data.read(folder / "rows.csv")
    (folder / "train.csv").write_text("text,label\none,ham\ntwo,spam\nthree,ham\nfour,spam\n")
    own = "objective.data={train: train.csv, valid: rows.csv, slice: source}"
    study = spec.load(file, [own])
    assert asked.ask(study, {}, asked.Where("valid", "source", fitting.check_inputs(study))).values == rows.column(
        "source"
    )
    assert (
        asked.ask(study, {}, asked.Where("test", None, fitting.check_inputs(study))).missing == "there are no test rows"
    )
    turned = spec.load(file, ["objective.data={train: rows.csv, valid: train.csv, slice: source}"])
    with pytest.raises(SpecError, match=r"train\.csv has no column 'source'"):
        fitting.check_inputs(replace(turned, folder=folder))
