"""What tasks make of rows before a model sees them, and what a model writes: prefixes, packs, answers and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import QWEN2, WORDS
from torch import tensor

from objectives import models, settings, sources, tasks, transfer, trial
from objectives.data import Table
from objectives.errors import ObjectiveError
from objectives.settings import Data, Task
from objectives.tokenized import Reader

Lesson = Callable[..., settings.Settings]
Checkpoint = Callable[[str], Path]


@pytest.fixture
def written(lesson: Lesson) -> Callable[..., list[list[int]]]:
    """What a model that learned nothing writes for two rows, by settings of its task."""

    def written(**task: Any) -> list[list[int]]:
        chosen = settings.replace(lesson("translation", "t5"), {f"task.{name}": value for name, value in task.items()})
        assert isinstance(chosen, settings.Transfer)
        source = sources.find(chosen.model)
        model, rows = models.load(chosen.model, source, "seq2seq-lm", (), 0), transfer.read(chosen, source)
        asked = tasks.of(chosen.task)
        batch = asked.collate(rows.valid[:2], rows.tokenizer)
        return [*asked.answers(model.eval(), batch, batch.labels)]

    return written


@pytest.mark.parametrize(
    ("setting", "value", "lengths"), [("max_new_tokens", 3, {4}), ("max_new_tokens", None, {9}), ("num_beams", 3, {9})]
)
def test_as_much_is_written_as_asked_for(
    written: Callable[..., Any], setting: str, value: Any, lengths: set[int]
) -> None:
    assert {len(row) for row in written(**{f"generation.{setting}": value})} == lengths


def test_no_run_of_tokens_is_written_twice(written: Callable[..., Any]) -> None:
    free, told = written(), written(**{"generation.no_repeat_ngram_size": 1})
    assert any(len(set(row[1:])) < len(row[1:]) for row in free)
    end = 3
    written_to_the_end = [row[: row.index(end) + 1] for row in told]
    assert all(len(set(row)) == len(row) for row in written_to_the_end), str(told)


def test_a_prefix_stands_before_each_text(lesson: Lesson) -> None:
    plain = lesson("translation", "t5")
    found = []
    for chosen in (plain, settings.replace(plain, {"task.prefix": "so very "})):
        assert isinstance(chosen, settings.Transfer)
        found.append(transfer.read(chosen, sources.find(chosen.model)).train[0].tokens)
    assert list(found[1]) == [2, 4 + WORDS.index("so"), 4 + WORDS.index("very"), *found[0][1:]]


def test_more_to_write_than_the_model_has_places_for(lesson: Lesson) -> None:
    chosen = settings.replace(lesson("translation", "marian"), {"task.generation.max_new_tokens": 41})
    with pytest.raises(ObjectiveError, match=r"task\.max_target_length: 41 is more than the 40 tokens .* writes"):
        trial.prepare(chosen)


def _examples(chosen: settings.Settings, **changed: Any) -> tuple[tasks.Task, transfer.Rows]:
    chosen = settings.replace(chosen, {name.replace("__", "."): value for name, value in changed.items()})
    assert isinstance(chosen, settings.Transfer)
    return tasks.of(chosen.task), transfer.read(chosen, sources.find(chosen.model))


def test_texts_are_packed_to_full_rows(lesson: Lesson) -> None:
    plain, packed = lesson("text-generation", "gpt2"), {"task__packing": True, "data__max_length": 12}
    rows, full = _examples(plain)[1].train, _examples(plain, **packed)[1].train
    assert {len(row.tokens) for row in full[:-1]} == {12}
    whole = [token for row in rows for token in row.tokens]
    assert [token for row in full for token in row.tokens] == whole
    assert [row.items for row in full[:-1]] == [11] * (len(full) - 1)


def test_only_answers_are_learned(lesson: Lesson) -> None:
    task, rows = _examples(lesson("text-generation of answers", "llama"))
    row = rows.train[0]
    batch = task.collate([row], rows.tokenizer)
    told = batch.labels[0] != -100
    assert batch.inputs["input_ids"][0][told].tolist() == list(row.tokens[4:]) == batch.labels[0][told].tolist()
    assert row.items == int(told.sum()) == 4
    # the question can say what it likes
    logits = torch.zeros(1, len(row.tokens), 18)
    logits[0, :2, 5] = 9.0
    assert float(task.loss(logits, batch.labels)) == pytest.approx(4 * torch.tensor(18.0).log().item())


def test_a_long_question_makes_room_for_its_answer(lesson: Lesson) -> None:
    _, rows = _examples(lesson("text-generation of answers", "llama"), data__max_length=5)
    assert [len(row.tokens) for row in rows.train[:3]] == [5, 5, 5]
    assert [row.items for row in rows.train[:3]] == [4, 4, 4]


def test_answers_are_not_packed(lesson: Lesson) -> None:
    with pytest.raises(ObjectiveError, match=r"task\.packing: rows with answers in column 'label' are not packed"):
        _examples(lesson("text-generation of answers", "llama"), task__packing=True)


def test_a_column_of_answers_that_is_named_must_be_there(lesson: Lesson) -> None:
    with pytest.raises(ObjectiveError, match=r"has no column 'answer'; found text"):
        _examples(lesson("text-generation", "gpt2"), data__label="answer")


def test_masks_follow_from_the_row_and_are_drawn_anew_to_train(lesson: Lesson) -> None:
    task, rows = _examples(lesson("fill-mask", "bert"), task__mask_share=0.4)
    assert isinstance(task, tasks.Redraws)
    whole = task.collate(rows.train[:50], rows.tokenizer)
    alone = task.collate(rows.train[7:8], rows.tokenizer)
    assert torch.equal(whole.labels[7], alone.labels[0])
    torch.manual_seed(1)
    one, other = task.redraw(whole, rows.tokenizer), task.redraw(whole, rows.tokenizer)
    torch.manual_seed(1)
    again = task.redraw(whole, rows.tokenizer)
    assert torch.equal(one.inputs["input_ids"], again.inputs["input_ids"])
    assert not torch.equal(one.labels, other.labels)
    for batch in (whole, one, other):
        told, shown = batch.labels != -100, batch.inputs["input_ids"]
        assert told.sum(dim=1).tolist() == [row.items for row in rows.train[:50]] == [2] * 50
        original = torch.where(told, batch.labels, shown)
        assert original.tolist() == [list(row.tokens) for row in rows.train[:50]]
    masked = one.inputs["input_ids"][one.labels != -100] == rows.tokenizer.mask_token_id
    assert 0.65 < masked.float().mean() < 0.95


def test_a_row_is_masked_alike_whatever_rows_are_beside_it(lesson: Lesson) -> None:
    """So that memory that runs out does not change what is learned."""
    task, rows = _examples(lesson("fill-mask", "bert"), task__mask_share=0.4)
    assert isinstance(task, tasks.Redraws)
    tokens = rows.train[0].tokens
    several = [replace(row, tokens=[*tokens[: 3 + place % 4], tokens[-1]]) for place, row in enumerate(rows.train[:8])]
    whole = task.collate(several, rows.tokenizer)
    parts = [task.collate(several[start : start + 2], rows.tokenizer) for start in range(0, 8, 2)]
    torch.manual_seed(1)
    drawn = task.redraw(whole, rows.tokenizer)
    torch.manual_seed(1)
    drawn_in_parts = [task.redraw(part, rows.tokenizer) for part in parts]
    for one, split in ((whole, parts), (drawn, drawn_in_parts)):
        for place, row in enumerate(several):
            part, within = split[place // 2], (place % 2, slice(len(row.tokens)))
            assert torch.equal(one.labels[place, : len(row.tokens)], part.labels[within])
            assert torch.equal(one.inputs["input_ids"][place, : len(row.tokens)], part.inputs["input_ids"][within])


def test_a_tokenizer_that_masks_nothing(lesson: Lesson, checkpoint: Checkpoint) -> None:
    with pytest.raises(ObjectiveError, match=r"model\.name: its tokenizer has no token that masks"):
        _examples(lesson("fill-mask", "bert"), model__name=str(checkpoint("bert")))


def test_a_text_that_is_empty_is_a_row_like_others() -> None:
    """In training there is none, but what is predicted has an answer for each row."""
    task = tasks.of(Task(kind="text-generation"))
    table = Table({"text": ["", "good film", ""]})
    found = task.encode(table, Reader(QWEN2), Data(path="-", label="-"), ())
    assert [(list(row.tokens), row.items) for row in found[::2]] == [([QWEN2.eos_token_id] * 2, 1)] * 2
    assert found[1].items >= 2
    assert [told for told, _ in task.tell(tensor([0.0, 0.0, 0.0]), found, ())] == [1.0] * 3
