"""A study as one page: all that is known stands in it, nothing from elsewhere, and nothing that runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import moves
import pytest

from hpo import fitting, promote, spec
from hpo.config import Config
from hpo.mistakes import Slice
from hpo.onepage import making, result
from hpo.onepage.markup import Markup, table, tag
from hpo.promotion import Candidate, Promotion
from hpo.running import Study
from hpo.spec import StudySpec
from hpo.store import Store, open_store
from objectives import data
from objectives.evaluation import Evaluation, Predictions

Run = Callable[..., Any]
EVIL = "<script>alert(1)</script>"
NAME = "新闻标题"
STUDY = f"""
study: {NAME}
objective:
  task: text-classification
  data: {{path: 行.csv, text: 标题, label: 类别, slice: 来源, split: {{valid: 20, test: 10}}}}
search:
  training.learning_rate: {{low: 1e-4, high: 1e-1, log: true}}
  model.pooling: [cls, mean]
sampler: random
pruner: none
trials: 9
"""


class Seen(HTMLParser):
    """The elements of a page, and what they ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.asks: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.asks += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [
        f"第{n}条 <img src=x onerror=alert(1)> 标题,{EVIL if n % 2 else '体育'},{'甲乙'[n % 2]}" for n in range(40)
    ]
    (tmp_path / "行.csv").write_text("标题,类别,来源\n" + "\n".join(lines) + "\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def run_trial(store: Store, own: StudySpec, number: int, split: Any = "valid") -> None:
    wanted = spec.settings_for(own, {})
    splits = data.load(wanted.data, 0, test=split == "test")  # type: ignore[union-attr]
    table = splits.test if split == "test" else splits.valid
    assert table is not None
    truth = [[EVIL, "体育"].index(label) for label in table.column("类别")]
    predicted = [1 - place if row < 3 else place for row, place in enumerate(truth)]
    kept = Predictions(split, (EVIL, "体育"), truth, predicted, [0.9] * len(truth), [0.1 + number / 50] * len(truth))
    loss = 0.5 + number / 100
    metrics = {"val_loss": loss, "test_loss": loss, "test_accuracy": 0.85} if split == "test" else {"val_loss": loss}
    trial = Study(store, own.study).begin(moves.claimed(store, f"w{number}", own.study), own)
    trial.report(Evaluation(1, 1.0, metrics, predictions=kept))
    trial.finish("complete")


@pytest.fixture
def studied(config: Config, file: Path) -> Path:
    own = spec.load(file)
    with open_store(config) as store:
        store.create(own, fitting.check_inputs(own))
        for number in range(9):
            run_trial(store, own, number)
    return file


def page(run: Run, out: Path) -> str:
    found = run("report", "-s", NAME, "-o", str(out))
    assert (found.code, found.out) == (0, f"{out}\n"), found.err
    return out.read_text("utf-8")


def check_alone(text: str) -> None:
    """Nothing is asked of anybody, nothing runs."""
    seen = Seen(text)
    assert not seen.tags & {"script", "link", "iframe", "object", "embed", "img", "base", "form"}
    assert [asked for asked in seen.asks if not asked.startswith(("#", "data:image/png;"))] == []
    assert seen.handlers == []
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_page_has_all_of_it_and_asks_for_nothing(run: Run, studied: Path, tmp_path: Path) -> None:
    text = page(run, tmp_path / "report.html")
    check_alone(text)
    for said in (
        f"<title>{NAME}</title>",
        "trial 0, one seed, validation rows",
        f"hpo promote -s {NAME}",
        "<td>one of cls, mean</td>",
        'id="history"',
        'id="curves"',
        'id="importance"',
        'id="timeline"',
        "&lt;img src=x onerror=alert(1)&gt;",
        "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>",
        "By 来源",
        "few rows: accuracy is",
        "Expected calibration error",
        "Where the time went",
        "No trial failed.",
        "sampler: {kind: random}",
    ):
        assert said in text, said
    assert EVIL not in text


def test_failures_stand_by_their_cause(run: Run, config: Config, file: Path, tmp_path: Path) -> None:
    own = spec.load(file)
    with open_store(config) as store:
        store.create(own, fitting.check_inputs(own))
        for number in range(3):
            trial = Study(store, NAME).begin(moves.claimed(store, f"w{number}", NAME), own)
            trial.finish("fail", EVIL if number else "another")
    text = page(run, tmp_path / "report.html")
    check_alone(text)
    cause = "&lt;script&gt;alert(1)&lt;/script&gt;</td><td>1, 2</td>"
    assert cause in text
    assert text.index(cause) < text.index("<td>another</td><td>0</td>")
    assert "No trial is complete yet." in text


def test_a_promotion_says_how_sure_it_is(run: Run, config: Config, studied: Path, tmp_path: Path) -> None:
    best = Candidate({"training.learning_rate": 1e-3, "model.pooling": "cls"}, 0, 0.5, 1)
    own = Candidate({"training.learning_rate": 5e-5, "model.pooling": "head"}, defaults=True)
    promotion = Promotion(NAME, 1, "train", (11, 12), (best, own))
    with open_store(config) as store:
        companion = promote.create(store, config, promotion, None)
        assert "4 of 4 retrainings are missing" in page(run, tmp_path / "early.html")
        for number in range(4):
            run_trial(store, companion, 10 * (number % 2), "test")
    text = page(run, tmp_path / "report.html")
    check_alone(text)
    assert "The winner is trial 0, by its mean val_loss" in text
    assert "trial 0, mean of 2 fresh seeds, 95 %" in text
    assert "mean of the same 2</small>" in text
    assert "one seed" not in text
    assert "Of 10 test rows the model that the promotion wrote has 3 wrong" in text
    refused = run("report", "-s", promotion.companion)
    assert f"belongs to {NAME}, whose report has it" in refused.err


def test_a_simulated_study_has_a_page_too(read: Run, tmp_path: Path) -> None:
    assert read("report", "-s", "toy", "-o", str(tmp_path / "toy.html")).code == 0
    text = (tmp_path / "toy.html").read_text("utf-8")
    assert "a simulated objective has no rows to be wrong about" in text
    assert "importance needs 8 trials" in text
    assert "a file ending in .html is right" in read("report", "-s", "toy", "-o", "toy.pdf").err
    assert "no such study" in read("report", "-s", "toys", "-o", str(tmp_path / "toys.html")).err


def test_a_study_of_ones_own_function_is_called_so(run: Run, store: Store, tmp_path: Path) -> None:
    """It trains, without rows that are known; and there is nothing that could be promoted."""
    own = {"objective": {"python": {"function": "mine:tune", "rate": 0.5}}, "search": {"python.rate": [0.5, 1.0]}}
    moves.create(store, enqueue=[{"python.rate": 1.0}], trials=1, **own)
    for number in range(2):
        trial = moves.evaluate(moves.begun(store, f"w{number}"), 0.5)
        trial.finish("complete")
    assert run("report", "-s", "toy", "-o", str(tmp_path / "toy.html")).code == 0
    text = (tmp_path / "toy.html").read_text("utf-8")
    assert "the function mine:tune" in text
    assert "hpo knows no rows of the function mine:tune" in text
    assert "simulated" not in text
    assert "hpo promote" not in text
    assert "one seed, chosen" not in text
    assert re.search(r">2<[^0-9]*trials[^0-9]*2 complete, 0 pruned", text)


def test_the_study_file_of_a_page_logs_nobody_in(file: Path) -> None:
    own = spec.load(file, ["data.path=s3://me:secret@bucket/rows.csv"])
    said = making.study_file(own)
    assert "path: s3://bucket/rows.csv" in said
    assert "secret" not in said


def test_slices_of_many_rows_have_no_empty_column() -> None:
    many, few = Slice("web", 40, 0.5, 0.5, 0.3, 0.7), Slice("phone", 2, 0.5, 0.5, 0.1, 0.9)
    found = [result.slices("from", some) for some in ([many], [many, few])]
    assert [text.count("<th") for text in found] == [4 + 1, 5 + 1]  # and thead
    assert found[1].count("<td") == 10


def test_what_is_not_markup_is_escaped() -> None:
    assert tag("p", "a < b", Markup("<b>c</b>"), class_='"') == '<p class="&quot;">a &lt; b<b>c</b></p>'
    assert "<td>&lt;b&gt;</td>" in table(("<i>",), [("<b>",)])
    assert "<i>" not in table(("<i>",), [])
