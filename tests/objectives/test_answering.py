"""Questions about texts: where answers stand, windows, the best of several, and SQuAD's files and scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from objectives import kinds, metrics, settings, tasks
from objectives.answers import SPAN, SPAN_OR_NONE, Answer, answers_of
from objectives.batches import Example
from objectives.errors import DataError, ModelError
from objectives.settings import Data, Task
from objectives.spans import Best, best
from objectives.survey import survey
from objectives.tables import Table, read
from objectives.tasks.question_answering import Asked
from objectives.tokenized import Reader
from objectives.windows import windows

TEXT = "a b c d e f g h i j k l"
QA = tasks.of(Task(kind="question-answering"))


@pytest.fixture
def reader() -> Reader:
    """Words of one letter, `[CLS] question [SEP] text [SEP]`."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijkl?"]
    tokens = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokens.post_processor = TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends)
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    return Reader(transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **named))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("", []),
        (" ", []),
        ("[]", []),
        ("c d", [Answer("c d", 4)]),
        (json.dumps([{"text": "b", "answer_start": 2}, {"text": "d e", "answer_start": 6}]), [("b", 2), ("d e", 6)]),
        (json.dumps({"text": ["b"], "answer_start": [2]}), [("b", 2)]),
        (json.dumps({"text": [], "answer_start": []}), []),
    ],
)
def test_the_answers_of_a_cell(cell: str, found: Any) -> None:
    assert answers_of(cell, TEXT) == found


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("x", "the answer 'x' does not stand in the text"),
        (json.dumps([{"text": "b", "answer_start": 3}]), "the answer 'b' does not stand in the text at character 3"),
    ],
)
def test_an_answer_that_stands_nowhere(tmp_path: Any, cell: str, said: str) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    (tmp_path / "rows.csv").write_text("text,pair,label\n" + f"?,{TEXT},{quoted}\n" * 5)
    chosen = settings.parse({"task": "qa", "data": {"path": str(tmp_path / "rows.csv"), "pair": "pair"}})
    assert isinstance(chosen, settings.Transfer)
    with pytest.raises(DataError, match=rf"rows\.csv, line \d+: {said}; right is a part of 'pair', or nothing"):
        kinds.targets(chosen.task, chosen.data, kinds.load(chosen.task, chosen.data, 0))


def test_whether_there_may_be_no_answer_follows_from_the_rows_to_train_on() -> None:
    task, data = Task(kind="question-answering"), Data(path="-", pair="pair")

    def targets(*labels: str) -> tuple[str, ...]:
        table = Table({"text": ["?"] * len(labels), "pair": [TEXT] * len(labels), "label": labels})
        return kinds.targets(task, data, SimpleNamespace(train=table, valid=table, test=None))  # type: ignore[arg-type]

    assert targets("a", "b") == SPAN
    assert targets("a", "") == SPAN_OR_NONE
    with pytest.raises(DataError, match="no question to train on has an answer"):
        targets("", "")


def test_a_question_needs_a_text() -> None:
    chosen = settings.parse({"task": "qa", "data": "rows.csv"})
    with pytest.raises(DataError, match=r"data\.pair: question-answering needs a second text; name its column"):
        kinds.check(chosen)  # type: ignore[arg-type]


def test_windows_share_tokens_and_hold_the_whole_text(reader: Reader) -> None:
    found = list(windows(["? ?", "?"], [TEXT, "a b"], reader, 10, 2))
    texts = [TEXT[one.places[0, 0] : one.places[-1, 1]] for one in found[:-1]]
    assert texts == ["a b c d e", "d e f g h", "g h i j k", "j k l"]
    assert [one.row for one in found] == [0, 0, 0, 0, 1]
    assert all(len(one.tokens) <= 10 for one in found)
    assert found[1].first == 4
    assert found[1].span(8, 11) == (5, 6)  # "e f"
    assert found[1].span(4, 7) is found[1].span(14, 17) is None  # they begin before it, or end after it
    assert found[-1].span(0, 1) == (3, 3)


def test_a_long_question_is_cut_and_an_overlap_fits(reader: Reader) -> None:
    found = list(windows(["? " * 50], [TEXT], reader, 11, 128))
    assert list(found[0].tokens).count(16) == 4
    assert [TEXT[one.places[0, 0]] for one in found] == list("acegi")
    with pytest.raises(DataError, match=r"data\.max_length: 4 tokens hold no question beside a text"):
        list(windows(["?"], [TEXT], reader, 4, 1))


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.name: has no fast tokenizer"):
        list(windows(["?"], [TEXT], Reader(SimpleNamespace(is_fast=False)), 16, 1))


def about(row: int = 0, first: int = 1, text: str = TEXT, answers: tuple[str, ...] = ("c",)) -> Asked:
    places = np.array([(place, place + 1) for place in range(0, len(text), 2)])
    return Asked(row, text, answers, first, places)


def logits(starts: dict[int, float], ends: dict[int, float], tokens: int = 13) -> torch.Tensor:
    found = torch.zeros(tokens, 2)
    for side, given in enumerate((starts, ends)):
        for place, value in given.items():
            found[place, side] = value
    return found


def test_the_best_part_is_in_order_short_and_in_the_text() -> None:
    seen = logits({0: 99.0, 3: 5.0, 5: 4.0}, {2: 9.0, 4: 3.0, 12: 8.0})
    assert best(seen, about(), n_best=20, longest=30) == Best(13.0, (4, 23))
    assert best(seen, about(), n_best=20, longest=3) == Best(9.0, (2, 3))  # the start of b is 0
    assert best(seen, about(), n_best=1, longest=30) == Best(-float("inf"), None)  # b ends before c starts


def told(said: list[torch.Tensor], asked: list[Asked], targets: tuple[str, ...]) -> list[Any]:
    return [text for text, _ in QA.tell(said, [Example([], 0, about=one) for one in asked], targets)]


def test_windows_of_a_question_are_joined() -> None:
    asked = [about(0), about(0, text="m n o p q r s t u v w x"), about(1)]
    said = [logits({3: 5.0}, {3: 5.0}), logits({2: 6.0}, {2: 6.0}), logits({0: 4.0, 1: 3.0}, {0: 4.0, 1: 3.0})]
    asked[1] = asked[1]._replace(context=TEXT)
    assert told(said, asked, SPAN) == ["b", "a"]
    assert told(said, asked, SPAN_OR_NONE) == ["b", ""]
    doubted = [logits({0: 9.0}, {0: 9.0}), logits({0: 1.0, 2: 2.0}, {0: 1.0, 2: 2.0})]
    assert told(doubted, asked[:2], SPAN_OR_NONE) == ["b"]


def test_a_long_text_is_read_in_windows_and_not_cut(tmp_path: Any, bert: Any) -> None:
    rows = "".join(f"so very,film {row} {'the film was good and ' * 20},good\n" for row in range(20))
    (tmp_path / "rows.csv").write_text("text,pair,label\n" + rows)
    chosen = settings.parse(
        {
            "task": "qa",
            "model": str(bert),
            "data": {"path": str(tmp_path / "rows.csv"), "pair": "pair", "max_length": 32},
        }
    )
    found = survey(chosen, 0)  # type: ignore[arg-type]
    assert str(found.measures["in several windows of 32"]["train"]) == "100 %"
    assert not any("cut off" in line for line in found.advice)


def test_scores_are_those_of_squad() -> None:
    found = metrics.of_answers(["The Cat, ", "", "red fox", "x"], [["a cat", "dog"], [], ["the brown fox"], []])
    assert found == {"exact_match": 0.5, "f1": pytest.approx((1 + 1 + 0.5 + 0) / 4)}


def test_padding_changes_no_loss(reader: Reader) -> None:
    table = Table({"text": ["?", "?"], "pair": ["a b", TEXT], "label": ["b", ""]})
    rows = QA.encode(table, reader, Data(path="-", pair="pair", max_length=32), SPAN_OR_NONE)
    assert [row.label for row in rows] == [(4, 4), (0, 0)]
    assert rows[0].types is None
    batch = QA.collate(rows, reader.tokenizer)
    seen = torch.randn(*batch.inputs["input_ids"].shape, 2, generator=torch.Generator().manual_seed(0))
    alone = QA.loss(seen[:1, : len(rows[0].tokens)], QA.collate(rows[:1], reader.tokenizer).labels)
    losses = QA.loss(seen, batch.labels)
    assert losses[0] == pytest.approx(alone.item())
    by_hand = torch.stack([seen[0, : len(rows[0].tokens), side].log_softmax(0)[4] for side in (0, 1)])
    assert losses[0] == pytest.approx(-by_hand.mean().item())
    assert [len(row) for row in QA.answers(None, batch, seen)] == [len(row.tokens) for row in rows]


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Letters",
            "paragraphs": [
                {
                    "context": TEXT,
                    "qas": [
                        {"id": "1", "question": "Which?", "answers": [{"text": "c d", "answer_start": 4}]},
                        {"id": "2", "question": "Why?", "is_impossible": True, "answers": []},
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_of_squad(write: Callable[..., str], indent: int | None) -> None:
    table = read(write("rows.json", json.dumps(SQUAD, indent=indent)))
    assert table.column("question") == ["Which?", "Why?"]
    assert [answers_of(cell, TEXT) for cell in table.column("answers")] == [[("c d", 4)], []]
    assert [set(table.column(name)) for name in ("context", "title", "id")] == [{TEXT}, {"Letters"}, {"1", "2"}]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"paragraphs": []}, r"is not as SQuAD's: KeyError\('data'\); right is data, paragraphs, context and qas"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "?"}]}]}]}, "question 1 is not as SQuAD's"),
    ],
)
def test_a_broken_file_of_squad(write: Callable[..., str], tree: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(write("rows.json", json.dumps(tree)))


def test_lines_of_json_that_speak_of_paragraphs_are_lines(write: Callable[..., str]) -> None:
    table = read(write("rows.json", '{"text": "\\"paragraphs\\"", "label": "x"}\n{"text": "b", "label": "y"}\n'))
    assert list(table.columns) == ["text", "label"]
