"""What a column holds that a task other than classification predicts: lists of classes, quantities, tags."""

from __future__ import annotations

from itertools import islice

from hpo.columns import LEAST_A_CLASS, MOST_CLASSES, Column, is_named_label
from objectives.entities import types
from objectives.labels import SEPARATOR, classes_of
from objectives.words import words_of

_SEVERAL = 0.1
"""The least share of cells that name several classes."""
_LOOKED_AT = 500
_MOST_PLAIN = 50
"""Different tags that parts of speech come with at most; words are more."""
_COUNTING = ("id", "index", "idx", "nr", "no", "num", "row", "line", "编号", "序号")
"""Names of columns that count the rows."""


def are_lists(column: Column) -> bool:
    """Whether many cells are lists of classes, JSON or `A|B`, and each class stands in several rows."""
    listed = [cell.lstrip().startswith("[") or SEPARATOR in cell for cell in column.filled]
    if not listed or sum(listed) < _SEVERAL * len(listed):
        return False
    try:
        given = [name for cell in column.filled for name in classes_of(cell)]
    except ValueError:
        return False
    return 2 <= len({*given}) <= MOST_CLASSES and len({*given}) * LEAST_A_CLASS <= len(given)


def are_quantities(column: Column) -> bool:
    """Whether its cells are numbers, too many different ones to be classes."""
    return column.kind == "numbers" and len(column.counts) > 1 and column.refused is not None


def are_numbers(column: Column) -> bool:
    """Whether its cells are numbers of any sort, two or more different ones."""
    return column.kind == "numbers" and len(column.counts) > 1


def counts_rows(column: Column) -> bool:
    """Whether it numbers or dates the rows: by its name, or by whole numbers, no two alike. Names of labels say no."""
    if column.kind != "numbers" or is_named_label(column.name):
        return False
    numbers = all(value.strip().isdecimal() for value in column.counts)
    return column.name.lower().rpartition("_")[2] in _COUNTING or (numbers and len(column.counts) == len(column.filled))


def says_nothing(column: Column) -> bool:
    """Whether nothing could be predicted of it: no values, ids, dates, numbers of rows."""
    return column.kind in ("empty", "ids", "dates") or counts_rows(column)


def are_tags(text: Column, label: Column) -> bool:
    """Whether a column has as many tags as another has words in each row, and the tags are few different ones."""
    rows = islice(zip(text.values, label.values, strict=True), _LOOKED_AT)
    if any(len(words_of(read)) != len(words_of(tags)) for read, tags in rows):
        return False
    given = _tags(label)
    return len(given) > 2 * min(len(label.values), _LOOKED_AT) and len({*given}) <= MOST_CLASSES


def say_tags(label: Column) -> bool:
    """Whether tags show as such, texts being of equal lengths by chance: few ones, JSON lists, names such as B-PER."""
    tags = _tags(label)
    listed = all(cell.lstrip().startswith("[") for cell in label.values[:_LOOKED_AT])
    return listed or len({*tags}) <= _MOST_PLAIN or bool(types(tags))


def _tags(label: Column) -> list[str]:
    return [tag for cell in label.values[:_LOOKED_AT] for tag in words_of(cell)]
