"""`hpo init --pair`: a second column that is read, whatever its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rowfiles import classes, conll, number, said, table

from hpo import init, spec
from hpo.errors import HpoError
from objectives.settings import Transfer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def other(row: int) -> str:
    return said(-row)


def guessed(file: str, **wanted: str) -> tuple[str, str, str | None, str]:
    """The task and the columns that are read and predicted, as the study file has them."""
    made = init.draft(file, Path("out.yaml"), **wanted)
    init.write(made, force=True)
    found = spec.load(Path("out.yaml")).objective
    assert isinstance(found, Transfer)
    return found.task.kind, found.data.text, found.data.pair, found.data.label


@pytest.mark.parametrize(
    ("make", "wanted", "expected"),
    [
        (
            lambda: table(said=said, other=other, label=classes),
            {"pair": "other"},
            ("text-classification", "said", "other", "label"),
        ),
        (
            lambda: table(said=said, other=other, label=classes),
            {"pair": "said"},
            ("text-classification", "other", "said", "label"),
        ),
        (
            lambda: table(premise=said, hypothesis=other, note=lambda row: said(row + 500), label=classes),
            {"pair": "note"},
            ("text-classification", "premise", "note", "label"),
        ),
        (
            lambda: table(said=said, other=other, score=number),
            {"pair": "other"},
            ("text-regression", "said", "other", "score"),
        ),
        (
            lambda: table(
                question=lambda row: f"When was {said(row)} made?",
                told=lambda row: f"It was made in {1800 + row} by {said(-row)}.",
                answer=lambda row: f"in {1800 + row}",
            ),
            {"pair": "told"},
            ("question-answering", "question", "told", "answer"),
        ),
    ],
    ids=["classes", "the other way", "beside a pair", "numbers", "questions"],
)
def test_a_pair_is_taken(make: Callable[[], str], wanted: dict[str, str], expected: tuple[str, ...]) -> None:
    assert guessed(make(), **wanted) == expected


@pytest.mark.parametrize(
    ("make", "wanted", "message"),
    [
        (lambda: table(said=said, label=classes), {"pair": "sayd"}, "--pair: there is no column 'sayd'; found said"),
        (
            lambda: table(said=said, label=classes),
            {"pair": "said", "text": "said"},
            "--pair: column 'said' is read or predicted already; name another",
        ),
        (
            lambda: table(said=said, other=other),
            {"pair": "other", "task": "translation"},
            "--pair: translation reads one column; leave it out",
        ),
        (conll, {"pair": "label", "task": "ner"}, "--pair: token-classification reads one column; leave it out"),
    ],
)
def test_a_pair_that_cannot_be_is_one_line(make: Callable[[], str], wanted: dict[str, str], message: str) -> None:
    with pytest.raises(HpoError) as refused:
        guessed(make(), **wanted)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("different", "group"), [(2, None), (9, None), (10, "topic")])
def test_rows_are_kept_together_by_a_text_of_the_pair_that_has_many_values(different: int, group: str | None) -> None:
    file = table(said=said, topic=lambda row: f"the topic of number {row % different}", label=classes)
    made = init.draft(file, Path("out.yaml"), pair="topic", label="label")
    init.write(made, force=True)
    found = spec.load(Path("out.yaml")).objective
    assert isinstance(found, Transfer)
    assert found.data.group == group


def test_the_command_takes_a_pair(run: Callable[..., Any]) -> None:
    done = run("init", table(said=said, other=other, label=classes), "--pair", "other")
    assert done.code == 0, done.err
    assert ["said", "other", "label"] in [line.split() for line in done.out.splitlines()]
