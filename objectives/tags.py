"""What stands in the column to predict where each word of a text has a tag."""

from __future__ import annotations

from objectives.data import Splits, Table
from objectives.errors import DataError
from objectives.settings import Data
from objectives.words import words_of


def tags(splits: Splits, data: Data) -> tuple[str, ...]:
    """All tags of the training rows, sorted; raises DataError where a row has not as many as words, where there is one
    tag alone, and where others stand elsewhere."""
    known = tuple(sorted(_all(splits.train, data)))
    if len(known) < 2:
        raise DataError("data.label", f"every word to train on has the tag {known[0]!r}; right is two tags or more")
    for table in (splits.valid, splits.test):
        strange = _all(table, data).keys() - set(known) if table is not None else set()
        if table is not None and strange:
            tag = min(strange)
            seen = f"{table.place(_all(table, data)[tag])}: tag {tag!r} stands in no training row"
            raise DataError("data.label", f"{seen}; found {', '.join(known[:20])}")
    return known


def _all(table: Table, data: Data) -> dict[str, int]:
    """Each tag with the first row in which it stands."""
    found: dict[str, int] = {}
    for row, cells in enumerate(zip(table.column(data.text), table.column(data.label), strict=True)):
        words, given = map(words_of, cells)
        if len(words) != len(given) or not words:
            seen = f"{table.place(row)}: {len(words)} words in {data.text!r} and {len(given)} tags in {data.label!r}"
            raise DataError("data.label", f"{seen}; right is a tag for each word, with blanks between or as JSON lists")
        for tag in given:
            found.setdefault(tag, row)
    return found
