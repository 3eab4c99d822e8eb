"""Tokens that are counted before a study runs are those that its trials read and write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from objectives import kinds, lengths, settings, sources, survey, transfer

Checkpoint = Callable[[str], Path]
ROWS = [(f"the {'very ' * (n % 5)}good film", "book " * (n % 3) + "song", ("bad", "sad")[n % 2]) for n in range(12)]


@pytest.fixture
def wanted(checkpoint: Checkpoint, tmp_path: Path) -> Callable[..., settings.Transfer]:
    """The settings of a task on a few rows; `end` is the word by which the tokenizer ends a text."""

    def wanted(family: str, task: dict[str, Any], end: str | None = None, **data: Any) -> settings.Transfer:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint(family))
        folder = tmp_path / "model"
        folder.mkdir()
        for file in checkpoint(family).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        tokenizer.eos_token = end
        tokenizer.save_pretrained(folder)
        lines = "\n".join(",".join(row) for row in ROWS)
        (tmp_path / "rows.csv").write_text(f"text,second,label\n{lines}\n")
        split = {"valid": 3, "test": 0}
        found = settings.parse(
            {
                "task": task,
                "model": str(folder),
                "data": {"path": str(tmp_path / "rows.csv"), "split": split, "max_length": 40, **data},
            }
        )
        assert isinstance(found, settings.Transfer)
        return found

    return wanted


PROMPT = "so {text} and {text}"
CASES: dict[str, tuple[str, dict[str, Any], str | None, dict[str, Any]]] = {
    "a text": ("bert", {"kind": "text-classification"}, None, {}),
    "a pair": ("bert", {"kind": "text-classification"}, None, {"pair": "second"}),
    "a prompt": ("bert", {"kind": "text-classification", "prompt": PROMPT}, None, {}),
    "a prompt and a pair": ("bert", {"kind": "text-classification", "prompt": PROMPT}, None, {"pair": "second"}),
    "a pair in a prompt": (
        "bert",
        {"kind": "text-classification", "prompt": "{pair} was {text}"},
        None,
        {"pair": "second"},
    ),
    "a prefix": ("t5", {"kind": "translation", "prefix": "so very: "}, None, {}),
    "a text that goes on": ("gpt2", {"kind": "text-generation"}, "and", {"label": "label"}),
    "an answer": ("gpt2", {"kind": "text-generation"}, "and", {"label": "second"}),
    "an answer without an end": ("gpt2", {"kind": "text-generation"}, None, {"label": "second"}),
    "an end that stands around every text": ("gpt2", {"kind": "text-generation"}, "[SEP]", {"label": "second"}),
    "masks": ("bert", {"kind": "fill-mask"}, None, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_counted_is_what_is_read(wanted: Callable[..., settings.Transfer], case: str) -> None:
    family, task, end, data = CASES[case]
    chosen = wanted(family, task, end, **data)
    source = sources.find(chosen.model)
    if task["kind"] == "fill-mask":
        tokenizer = AutoTokenizer.from_pretrained(source.where)
        tokenizer.mask_token = "and"
        tokenizer.save_pretrained(source.where)
    table = kinds.load(chosen.task, chosen.data, 0).train
    counted = lengths.read(chosen, table, source)
    assert counted
    read = transfer.read(chosen, source).train
    assert sorted(counted.lengths) == sorted(len(row.tokens) for row in read)


def test_what_is_to_be_written_is_counted_and_what_is_cut_off_is_told(
    wanted: Callable[..., settings.Transfer],
) -> None:
    chosen = wanted("t5", {"kind": "translation", "max_target_length": 4}, label="second")
    source = sources.find(chosen.model)
    long = settings.replace(chosen, {"task.max_target_length": 40})
    assert isinstance(long, settings.Transfer)
    counted = lengths.written(chosen, kinds.load(chosen.task, chosen.data, 0).train, source)
    assert counted
    assert sorted(counted.lengths) == sorted(len(row.label) for row in transfer.read(long, source).train)
    found = survey.survey(chosen, 0, source)
    cut = sum(length > 4 for length in counted.lengths)
    assert found.measures["cut at max_target_length 4"]["train"] == survey.Share(cut, 9)
    assert any("of the texts to write are cut off: raise task.max_target_length" in line for line in found.advice)
    assert "tokens to write: median, 95 %, most" in found.measures
    assert not any("write" in line for line in survey.survey(long, 0, source).advice)


def test_nothing_is_to_be_written_where_a_class_is_told(wanted: Callable[..., settings.Transfer]) -> None:
    found = survey.survey(wanted("bert", {"kind": "text-classification"}), 0)
    assert not any("write" in name for name in found.measures)


def test_of_packed_texts_nothing_is_cut_off(wanted: Callable[..., settings.Transfer]) -> None:
    chosen = wanted("gpt2", {"kind": "text-generation", "packing": True}, max_length=4)
    found = survey.survey(chosen, 0)
    assert "in several rows of 4" in found.measures
    assert not any("cut off" in line for line in found.advice)
