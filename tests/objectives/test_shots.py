"""Few training rows of each class: exact, nested, the same everywhere, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from families import WORDS
from pydantic import ValidationError

from objectives import data, settings, transfer
from objectives.errors import DataError
from objectives.settings import Data
from objectives.sources import Source
from objectives.splits import few

Write = Callable[[str, str], str]


@pytest.fixture
def rows(write: Write) -> str:
    """A file of three classes of unlike size."""
    lines = [f"t{number},{'abbccc'[number % 6]}" for number in range(120)]
    return write("rows.csv", "text,label\n" + "\n".join(lines) + "\n")


def texts(path: str, shots: int | None, draw: int | None = None) -> list[list[str]]:
    splits = data.load(Data(path=path, shots=shots), 3, test=True, draw=draw)
    return [list(table.column("text")) for table in (splits.train, splits.valid, splits.test) if table is not None]


def test_so_many_rows_of_each_class_train_and_fewer_are_among_more(rows: str) -> None:
    found = {shots: data.load(Data(path=rows, shots=shots), 3).train for shots in (1, 4, 8)}
    for shots, table in found.items():
        assert Counter(table.column("label")) == dict.fromkeys("abc", shots)
    few, some, more = (set(table.column("text")) for table in found.values())
    assert few < some < more < set(texts(rows, None)[0])


def test_the_validation_and_test_rows_stay(rows: str) -> None:
    whole = texts(rows, None)
    assert texts(rows, 4)[1:] == whole[1:]
    assert texts(rows, 4, draw=9)[1:] == whole[1:]


def test_the_draw_follows_from_its_seed_alone(rows: str) -> None:
    assert texts(rows, 4) == texts(rows, 4) == texts(rows, 4, draw=3)
    assert texts(rows, 4)[0] != texts(rows, 4, draw=9)[0]
    assert few(["a", "b"] * 6, 2, 5) == [7, 8, 10, 11]  # on every machine


def test_a_class_with_fewer_rows_is_named(rows: str) -> None:
    with pytest.raises(DataError, match=r"data\.shots: asks for 13 training rows of each class, and 'a' has 12"):
        data.load(Data(path=rows, shots=13), 3)


def test_few_rows_and_all_rows_are_not_asked_for_at_once() -> None:
    with pytest.raises(ValidationError, match="fit is all and shots draws a few"):
        Data(path="rows.csv", shots=2, fit="all")


def test_a_trial_draws_by_its_own_seed(write: Write, bert: Path) -> None:
    said = [" ".join(WORDS[2 * bit + (number >> bit & 1)] for bit in range(6)) for number in range(60)]
    path = write("rows.csv", "text,label\n" + "".join(f"{text},{'ab'[row % 2]}\n" for row, text in enumerate(said)))

    def trained(seed: int, shots: int | None) -> list[tuple[int, ...]]:
        tree = {"path": path, "shots": shots, "max_length": 8, "split": {"seed": 1}}
        wanted = {"task": "text-classification", "model": str(bert), "data": tree, "training": {"seed": seed}}
        chosen = settings.parse(wanted)
        assert isinstance(chosen, settings.Transfer)
        return [tuple(row.tokens) for row in transfer.read(chosen, Source(str(bert), None, "tiny")).train]

    assert len(trained(1, 2)) == 4
    assert trained(1, 2) != trained(2, 2)
    assert trained(1, None) == trained(2, None)
