"""Prompts: where a row's texts stand in what the model reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from objectives import kinds, prompts, settings, sources, transfer, trial
from objectives.errors import ObjectiveError
from objectives.evaluation import Evaluation
from objectives.host import Host
from objectives.settings import Data, Transfer
from objectives.tables import Table


def test_texts_stand_in_their_places() -> None:
    assert prompts.filled("the {text} and {pair}: {text}", "{pair}", "b") == "the {pair} and b: {pair}"


def test_a_pair_with_a_place_is_no_second_text() -> None:
    table, data = Table({"a": ["one"], "b": ["two"], "c": ["x"]}), Data(path="-", text="a", pair="b", label="c")
    put, asked = prompts.prompted("{text} or {pair}", data)
    assert (put(table).columns, asked.pair) == ({"a": ["one or two"], "b": ["two"], "c": ["x"]}, None)
    put, asked = prompts.prompted("so {text}", data)
    assert (put(table).column("a"), asked.pair) == (["so one"], "b")
    put, asked = prompts.prompted(None, data)
    assert (put(table), asked) == (table, data)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("what is it?", "'what is it?' has no place for the text; right is such as 'Topic of {text}:'"),
        ("{text} {label}", "'{text} {label}' names {label}; right are {text} and {pair}"),
        ("{text} {pair}", "task.prompt names {pair} and there is none; give data.pair, or remove it"),
    ],
)
def test_a_prompt_without_its_texts_is_refused(prompt: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings.parse({"task": {"kind": "text-classification", "prompt": prompt}, "data": "rows.csv"})
    assert said in str(caught.value)


@pytest.fixture
def chosen(checkpoint: Callable[[str], Path], rows: Path) -> Transfer:
    found = settings.parse(
        {
            "task": {"kind": "text-classification", "prompt": "so {text} film"},
            "model": {"name": str(checkpoint("bert"))},
            "data": {"path": str(rows), "max_length": 16, "split": {"valid": 12, "test": 12}},
            "training": {"epochs": 1, "precision": "fp32", "seed": 1},
        }
    )
    assert isinstance(found, Transfer)
    return found


def test_the_model_reads_the_prompt(chosen: Transfer) -> None:
    source = sources.find(chosen.model)
    asked = transfer.read(chosen, source)
    plain = settings.replace(chosen, {"task.prompt": None})
    assert isinstance(plain, Transfer)
    so, film = asked.tokenizer.convert_tokens_to_ids(["so", "film"])
    for one, other in zip(asked.train, transfer.read(plain, source).train, strict=True):
        first, *inside, last = other.tokens
        assert list(one.tokens) == [first, so, *inside, film, last]


def test_a_written_model_sets_new_texts_into_it(chosen: Transfer, tmp_path: Path) -> None:
    scored = settings.replace(chosen, {"data.score": "test"})
    assert isinstance(scored, Transfer)
    seen: list[Evaluation] = []

    def report(evaluation: Evaluation) -> None:
        seen.append(evaluation)
        if evaluation.model:
            evaluation.model(tmp_path)

    trial.run(scored, report, host=Host("cpu", 1))
    test = kinds.load(scored.task, scored.data, 1).test
    assert test
    assert seen[-1].predictions
    said = trial.predict(tmp_path, list(test.column("text")))
    assert [each.probability for each in said] == pytest.approx(seen[-1].predictions.probability, abs=1e-4)


def test_a_kind_that_has_no_texts_refuses_one(chosen: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds.KINDS, "text-classification", kinds.Kind(kinds.rows.classes, unknown=("task.prompt",)))
    with pytest.raises(ObjectiveError, match=r"task\.prompt: text-classification has no such setting"):
        kinds.check(chosen)
