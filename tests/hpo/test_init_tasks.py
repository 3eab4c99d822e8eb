"""`hpo init` tells which task rows are for, and what a study of each kind is."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rowfiles import PAIR, TEXT, WORDS, archive, classes, conll, folder, listed, number, said, squad, table

from hpo import fitting, init, pairs, recipes, roles, spec
from hpo.errors import HpoError, SpecError
from objectives.kinds import KINDS
from objectives.measures import recorded
from objectives.settings import TASK_ALIASES, Transfer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


GUESSED: list[tuple[str, Callable[[], str], str, str, dict[str, Any]]] = [
    ("a CoNLL file", conll, "token-classification", "f1", {"text": "text", "label": "label"}),
    (
        "parts of speech",
        lambda: conll(("NOUN", "VERB", "ADJ", "NOUN")),
        "token-classification",
        "f1_macro",
        {"text": "text", "label": "label"},
    ),
    (
        "lists of words and tags",
        lambda: table(
            id=int, tokens=lambda row: [*"abcd", str(row)], tags=lambda row: ["O", "B-X", "O", "B-Y", "O"][: 4 + 1]
        ),
        "token-classification",
        "f1",
        {"text": "tokens", "label": "tags"},
    ),
    (
        "words and plain tags",
        lambda: table(said=lambda row: said(row, 4), parts=lambda row: "N V N N D"),
        "token-classification",
        "f1_macro",
        {"text": "said", "label": "parts"},
    ),
    (
        "a SQuAD file",
        squad,
        "question-answering",
        "f1",
        {"text": "question", "pair": "context", "label": "answers", "group": "context"},
    ),
    ("a folder", folder, "image-classification", "val_loss", {"path": "shades", "text": "text", "label": "label"}),
    ("an archive", archive, "image-classification", "val_loss", {"path": "shades.zip"}),
    ("paths of images", listed, "image-classification", "val_loss", {"text": "image", "label": "shade"}),
    (
        "A|B",
        lambda: table(**TEXT, topics=lambda row: ("a", "b", "a|b", "")[row % 4]),
        "multi-label-classification",
        "val_loss",
        {"text": "text", "label": "topics"},
    ),
    (
        "JSON lists beside a class",
        lambda: table(**TEXT, source=lambda row: "xyz"[row % 3], genres=lambda row: ["a", "b"][row % 2 :]),
        "multi-label-classification",
        "val_loss",
        {"text": "text", "label": "genres"},
    ),
    (
        "quantities",
        lambda: table(id=int, sent=lambda row: 1_700_000_000 + row * row, **TEXT, price=number),
        "text-regression",
        "val_loss",
        {"text": "text", "label": "price"},
    ),
    (
        "a pair and a class",
        lambda: table(**PAIR, label=classes),
        "text-classification",
        "val_loss",
        {"text": "premise", "pair": "hypothesis", "label": "label", "group": "premise"},
    ),
    (
        "a pair and a number",
        lambda: table(**PAIR, score=number),
        "text-regression",
        "val_loss",
        {"text": "premise", "pair": "hypothesis", "label": "score", "group": "premise"},
    ),
    (
        "languages",
        lambda: table(id=int, en=said, fr=lambda row: said(-row)),
        "translation",
        "chrf",
        {"text": "en", "label": "fr"},
    ),
    (
        "a short target",
        lambda: table(target=lambda row: said(-row, 4), source=lambda row: said(row, 30)),
        "summarization",
        "rougeL",
        {"text": "source", "label": "target"},
    ),
    (
        "a summary",
        lambda: table(summary=lambda row: said(-row, 4), article=lambda row: said(row, 30)),
        "summarization",
        "rougeL",
        {"text": "article", "label": "summary"},
    ),
    (
        "two texts of any name",
        lambda: table(one=said, other=lambda row: said(-row)),
        "translation",
        "chrf",
        {"text": "one", "label": "other"},
    ),
    (
        "instructions",
        lambda: table(instruction=said, output=lambda row: said(-row)),
        "text-generation",
        "perplexity",
        {"text": "instruction", "label": "output"},
    ),
    ("texts alone", lambda: table(id=int, said=said), "fill-mask", "perplexity", {"text": "said"}),
]


@pytest.mark.parametrize(
    ("make", "kind", "metric", "data"), [row[1:] for row in GUESSED], ids=[row[0] for row in GUESSED]
)
def test_the_task_is_told_from_the_rows(make: Callable[[], str], kind: str, metric: str, data: dict[str, Any]) -> None:
    study, made = written(make())
    assert isinstance(study.objective, Transfer)
    assert (study.objective.task.kind, study.metric) == (kind, metric)
    assert recorded(metric, kind)
    expected = {"pair": None, "group": None} | data
    found = study.objective.data.model_dump()
    found["path"] = Path(found["path"]).name
    assert {name: found[name] for name in expected} == expected
    reasons = {guess.address: guess.why for guess in made.guesses}
    assert all(reasons[name] for name in ("model.name", "metric", "data.text"))


def written(file: str, **wanted: str | None) -> tuple[spec.StudySpec, init.Draft]:
    """The study, written and read back, its rows checked as `hpo check` does."""
    made = init.draft(file, Path("out.yaml"), **wanted)
    init.write(made, force=True)
    study = spec.load(Path("out.yaml"))
    assert fitting.check_inputs(study)
    return study, made


def written_text(file: str, **wanted: str | None) -> str:
    written(file, **wanted)
    return Path("out.yaml").read_text()


def test_every_kind_of_task_is_guessed_from_some_rows() -> None:
    assert {row[2] for row in GUESSED} == set(KINDS)


ASKED: list[tuple[str, dict[str, Callable[[int], Any]], dict[str, str], str, dict[str, Any]]] = [
    ("ner", {"a": lambda row: said(row, 3), "b": lambda row: "N V N N"}, {}, "token-classification", {"label": "b"}),
    (
        "qa",
        {"asked": lambda row: f"Who {row}?", "page": said, "said": lambda row: said(row).split()[0]},
        {"text": "asked", "label": "said"},
        "question-answering",
        {"text": "asked", "pair": "page", "label": "said"},
    ),
    ("multi-label", {**TEXT, "label": classes}, {}, "multi-label-classification", {"label": "label"}),
    ("regression", {**TEXT, "label": classes, "stars": lambda row: row % 5}, {}, "text-regression", {"label": "stars"}),
    ("sentiment-analysis", {**TEXT, "label": classes}, {}, "text-classification", {"label": "label"}),
    (
        "translation",
        {"source": said, "target": lambda row: said(-row), "topic": classes},
        {},
        "translation",
        {"text": "source", "label": "target"},
    ),
    (
        "summarization",
        {"a": said, "b": lambda row: said(-row), "topic": classes},
        {"text": "b", "label": "a"},
        "summarization",
        {"text": "b", "label": "a"},
    ),
    ("text-generation", {**TEXT, "topic": classes}, {}, "text-generation", {"text": "text"}),
    ("fill-mask", {**TEXT, "topic": classes}, {}, "fill-mask", {"text": "text"}),
]


@pytest.mark.parametrize(("task", "rows", "wanted", "kind", "data"), ASKED, ids=[row[0] for row in ASKED])
def test_a_task_that_is_asked_for_is_taken(
    task: str, rows: dict[str, Any], wanted: dict[str, str], kind: str, data: dict[str, Any]
) -> None:
    study, _ = written(table(**rows), task=task, **wanted)
    assert isinstance(study.objective, Transfer)
    assert study.objective.task.kind == kind == TASK_ALIASES.get(task, task)
    assert study.objective.data.model_dump().items() >= data.items()


labelled, measured = (partial(table, **TEXT, label=cell) for cell in (classes, number))
REFUSED: list[tuple[Callable[[], str], dict[str, str], str]] = [
    (
        labelled,
        {"task": "text-clasification"},
        "--task: there is no task 'text-clasification'; right is one of text-classification, multi",
    ),
    (folder, {"task": "ner"}, "it holds images, and token-classification reads texts; right is image-classification"),
    (folder, {"encoding": "utf-8"}, "shades holds images; --encoding and --delimiter belong to files of rows"),
    (
        labelled,
        {"task": "image-classification"},
        "image-classification reads images, and there are text: 60 different texts of 10 words; label: 3 differ",
    ),
    (
        labelled,
        {"task": "ner"},
        "token-classification needs a tag for each word, and there are text: ",
    ),
    (
        labelled,
        {"task": "qa"},
        "question-answering needs a question, a text and its answers, and there are text: ",
    ),
    (
        labelled,
        {"task": "regression", "label": "label"},
        "text-regression predicts a number, and column 'label' holds 3 different ",
    ),
    (
        measured,
        {"task": "multi-label", "label": "label"},
        "multi-label-classification predicts classes, and column 'label' holds 60 different numbers; right is cel",
    ),
    (
        measured,
        {"task": "text-classification"},
        "column 'label' is no label: it holds 60 different numbers; cut them into classes, or give --task text-reg",
    ),
    (
        labelled,
        {"task": "translation"},
        "two columns of texts are needed, and there are text: ",
    ),
    (
        labelled,
        {"task": "fill-mask", "label": "label"},
        "fill-mask predicts words of the text, no column; leave --label label out",
    ),
    (
        lambda: table(text1=said, text2=lambda row: said(-row)),
        {},
        "column 'text2' is no label: it holds 60 different texts of 10 words",
    ),
    (
        lambda: table(**TEXT, height=number, width=lambda row: number(-row)),
        {},
        "no column looks like classes to predict (text: ",
    ),
]


@pytest.mark.parametrize(("make", "wanted", "message"), REFUSED)
def test_what_cannot_be_is_one_line(make: Callable[[], str], wanted: dict[str, str], message: str) -> None:
    with pytest.raises(HpoError) as caught:
        init.draft(make(), **wanted)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_of_something_else_is_one_line() -> None:
    with zipfile.ZipFile("rows.zip", "w") as made:
        made.writestr("a/rows.csv", "text,label\n")
    with pytest.raises(HpoError, match=r"rows\.zip/a/rows\.csv: is no image by its name; right is one of \.png"):
        init.draft("rows.zip")


def test_plain_words_of_equal_number_are_no_tags() -> None:
    study, made = written(table(**TEXT, other=lambda row: said(-row), label=classes))
    assert made.roles.kind == "text-classification"
    assert "    # pair: other" in Path("out.yaml").read_text()
    assert study.metric == "val_loss"


def test_a_text_of_a_pair_alone_is_read_where_it_is_asked_for() -> None:
    study, _ = written(table(**PAIR, label=classes), text="hypothesis")
    assert isinstance(study.objective, Transfer)
    assert study.objective.data.pair is None


def test_numbers_of_the_rows_are_no_quantities_unless_asked_for() -> None:
    file = table(**TEXT, sent=lambda row: 1_700_000_000 + row * row)
    assert init.draft(file).roles.kind == "fill-mask"
    assert init.draft(file, label="sent").roles.kind == "text-regression"
    assert init.draft(table(**TEXT, price=lambda row: 100 + row * row)).roles.kind == "text-regression"


def test_names_beside_a_text_are_no_summaries() -> None:
    file = table(**TEXT, author=lambda row: f"{WORDS[row % 12]} of {row}")
    with pytest.raises(HpoError, match="column 'author' is no label: it has 60 different values in 60 rows"):
        init.draft(file)
    assert init.draft(file, label="author", task="summarization").roles.kind == "summarization"


@pytest.mark.parametrize("make", [conll, squad, archive])
def test_rows_in_place_of_a_study_file_are_told_as_such(make: Callable[[], str]) -> None:
    with pytest.raises(SpecError, match="holds rows; write a study file for them: hpo init "):
        spec.find(make())


def test_both_texts_of_a_pair_count_for_its_length() -> None:
    rows = {"premise": lambda row: said(row, 40), "hypothesis": lambda row: said(-row, 40), "label": classes}
    both = written(table(**rows))[0].objective
    one = written(table(**rows), text="premise")[0].objective
    assert isinstance(both, Transfer)
    assert isinstance(one, Transfer)
    assert both.data.max_length > 1.5 * one.data.max_length


def test_what_is_said_to_a_model_that_writes_follows_from_the_names() -> None:
    assert 'prefix: "translate English to French: "' in written_text(table(english=said, french=lambda row: said(-row)))
    unsure = written_text(table(source=said, target=lambda row: said(-row)))
    assert '    # prefix: "translate English to French: "' in unsure
    assert "max_target_length: 16" in unsure
    assert "max_length: 32" in unsure, "the prefix is read, too"
    assert 'prefix: "summarize: "' in written_text(table(text=lambda row: said(row, 50), summary=said))


def test_a_guess_by_the_lengths_says_so_and_how_to_write_on_is_said() -> None:
    assert "one text from another, by the lengths of the two texts" in written_text(
        table(one=said, other=lambda row: said(-row))
    )
    assert "  # task: text-generation" in written_text(table(said=said))


def test_chinese_summaries_are_scored_by_letters() -> None:
    def chinese(row: int, count: int) -> str:
        draw = random.Random(row)
        return "".join(draw.choice("这部电影很好看我不喜欢他的表演非常糟糕") for _ in range(count))

    study, _ = written(table(正文=lambda row: chinese(row, 60), 摘要=lambda row: chinese(-row, 9)))
    assert study.metric == "chrf"


@pytest.mark.parametrize(
    ("names", "together"),
    [
        ("premise hypothesis", True),
        ("Sentence1 Sentence2", True),
        ("question1 question2", True),
        ("text_a text_b", True),
        ("前提 假设", True),
        ("text label", False),
        ("data beta", False),
        ("text1 text3", False),
    ],
)
def test_names_say_which_texts_are_read_together(names: str, together: bool) -> None:
    first, second = names.split()
    columns = [init.Column(second, [said(1)]), init.Column(first, [said(2)])]
    found = pairs.read_together(columns)
    assert [column.name for column in found or ()] == ([first, second] if together else [])


def test_the_command_takes_a_task_and_shows_what_is_read_and_predicted(run: Callable[..., Any]) -> None:
    done = run("init", table(**PAIR, label=classes), "--task", "sentiment-analysis")
    assert done.code == 0, done.err
    assert ["premise", "hypothesis", "label"] in [line.split() for line in done.out.splitlines()]
    assert "--task KIND" in done.err
    assert "->" not in run("init", table(said=said), "--force").out


def test_every_kind_of_task_has_what_a_first_study_needs() -> None:
    assert set(roles.ASKED) == set(recipes.RECIPES) == set(KINDS)


def test_rows_are_removed_only_where_a_cell_must_not_be_empty() -> None:
    assert "drop_empty" not in written_text(squad())
    assert "drop_empty" not in written_text(table(**TEXT, topics=lambda row: ("a", "b", "a|b", "")[row % 4]))
    gaps = written_text(table(source=said, target=lambda row: said(-row) if row else ""))
    assert "drop_empty: true" in gaps
    assert "1 row without a text or a label" in gaps
    assert "without a text\n" in written_text(table(said=lambda row: said(row) if row else ""))
