"""Rows of one domain: which are kept, that the split is that of the whole, and what wrong values say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from objectives import data
from objectives.errors import DataError
from objectives.settings import Data

SHOPS = ("books", "films", "2020")


def saved(folder: Path, shops: tuple[str, ...] = SHOPS) -> Path:
    """Sixty rows of each shop, half of each label, in turns."""
    lines = [f"{shop} text {n},{'yes' if n % 2 else 'no'},{shop}" for n in range(60) for shop in shops]
    path = folder / f"{'-'.join(shops)}.csv"
    path.write_text("text,label,shop\n" + "\n".join(lines) + "\n")
    return path


def texts(table: data.Table | None) -> list[str]:
    assert table is not None
    return list(table.column("text"))


def test_a_part_sets_aside_the_test_rows_that_the_whole_does(tmp_path: Path) -> None:
    path = str(saved(tmp_path))
    whole = data.load(Data(path=path), 3, test=True)
    part = data.load(Data.model_validate({"path": path, "where": {"shop": "films"}}), 3, test=True)
    for mine, all_of_them in ((part.train, whole.train), (part.valid, whole.valid), (part.test, whole.test)):
        assert texts(mine) == [text for text in texts(all_of_them) if text.startswith("films")]
        assert texts(mine)
    assert part.train.where(0).startswith("books-films-2020.csv:")


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"shop": ["films", "books"]}, {"films", "books"}),
        ({"shop": 2020}, {"2020"}),
        ({"shop": "books", "label": ["no", "yes"]}, {"books"}),
        ({}, set(SHOPS)),
    ],
)
def test_a_row_is_kept_that_has_one_of_the_values_in_each_column(
    tmp_path: Path, where: dict[str, Any], kept: set[str]
) -> None:
    found = data.load(Data.model_validate({"path": str(saved(tmp_path)), "where": where}), 0)
    assert {text.split()[0] for text in texts(found.train)} == kept


def test_shots_are_drawn_from_the_rows_that_are_kept(tmp_path: Path) -> None:
    wanted = {"path": str(saved(tmp_path)), "where": {"shop": "films"}, "shots": 5}
    found = texts(data.load(Data.model_validate(wanted), 0).train)
    assert len(found) == 10
    assert all(text.startswith("films") for text in found)


def test_files_of_their_own_are_read_the_same_way(tmp_path: Path) -> None:
    files = {"train": str(saved(tmp_path)), "valid": str(saved(tmp_path, ("films", "music")))}
    found = data.load(Data.model_validate({**files, "where": {"shop": "films"}}), 0)
    assert [len(found.train), len(found.valid)] == [60, 60]
    with pytest.raises(DataError, match=r"data.where: leaves none of the 120 validation rows of .*; give more values"):
        data.load(Data.model_validate({**files, "where": {"shop": "books"}}), 0)


def test_a_value_or_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(saved(tmp_path))
    with pytest.raises(DataError, match=r"data.where.shop: no row of .* has 'film'; found books, films, 2020; did you"):
        data.load(Data.model_validate({"path": path, "where": {"shop": "film"}}), 0)
    with pytest.raises(DataError, match=r"data.where.shp: .* has no column 'shp'; .*did you mean 'shop'\?"):
        data.load(Data.model_validate({"path": path, "where": {"shp": "films"}}), 0)


@pytest.mark.parametrize("value", [None, [], {"a": 1}, [None]])
def test_a_value_is_one_or_a_list_of_them(value: Any) -> None:
    with pytest.raises(ValidationError, match="shop takes a value that its cells have, or a list of such values"):
        Data.model_validate({"path": "a.csv", "where": {"shop": value}})
