"""Which column of a table is read and which is predicted: a guess, with its reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from statistics import fmean

from hpo.errors import HpoError
from objectives.tables import Table

LEAST_ROWS = 10
LEAST_A_CLASS = 4
MOST_CLASSES = 100
MOST_NUMBERS = 20
"""Different numbers that may still be classes, such as stars; more are quantities."""

TEXTS = (
    "text sentence content review comment message title headline body question tweet description utterance query "
    "文本 内容 评论 句子 正文 标题 消息 问题"
)
"""Names that columns of text often have."""
LABELS = (
    "label class category target sentiment topic intent polarity emotion tag type rating stars gold y "
    "标签 标注 类别 分类 情感 主题 意图 类型"
)
"""Names that columns of classes often have, the surest first."""
QUANTITIES = "score similarity grade value price amount age points 分数 评分 价格"
"""Names that columns of numbers often have, where these are no classes."""

_UNNAMED = 1000
_DATE = re.compile(r"(\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})日?([T ]\d{1,2}:\d\d.*)?")
_ID = re.compile(r"\S*(\d|@|://)\S*|\S{20,}")
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class Column:
    """A column and what its values look like."""

    name: str
    values: Sequence[str]

    @cached_property
    def filled(self) -> list[str]:
        """The values that are not blank."""
        return [value for value in self.values if value.strip()]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value stands, without blanks."""
        return Counter(self.filled)

    @cached_property
    def words(self) -> float:
        """Words a value, an ideograph counting as one."""
        return fmean(map(words, self.filled)) if self.filled else 0.0

    @cached_property
    def kind(self) -> str:
        """`empty`, `dates`, `numbers`, `ids` or `text`."""
        if not self.filled:
            return "empty"
        return next((kind for kind, is_one in _KINDS.items() if mostly(map(is_one, self.filled))), "text")

    @property
    def described(self) -> str:
        """What it is, in a few words."""
        many = len(self.counts)
        if self.kind == "text" and round(self.words) > 1:
            return f"{many} different texts of {self.words:.0f} words"
        kind = "words" if self.kind == "text" else self.kind
        return kind if kind == "empty" else f"{many} different {kind}"

    @property
    def refused(self) -> str | None:
        """Why it cannot be predicted as classes; None where it can."""
        many, rows = len(self.counts), len(self.filled)
        if many < 2:
            return "it has one value in all rows; right is two classes or more" if many else "it is empty"
        if self.kind == "numbers" and many > MOST_NUMBERS:
            advice = "cut them into classes, or give --task text-regression to predict a number"
            return f"it holds {many} different numbers; {advice}"
        if self.kind in ("ids", "dates") and many * LEAST_A_CLASS > rows:
            return f"it holds {self.kind}, {many} different ones in {rows} rows; right is a column of classes"
        if many * LEAST_A_CLASS > rows:
            few = f"it has {many} different values in {rows} rows, {rows / many:.1f} rows a class"
            return f"{few}; right is {LEAST_A_CLASS} or more: merge some"
        return None

    @property
    def doubted(self) -> str | None:
        """Why it is not guessed to be classes, though it may be."""
        many = len(self.counts)
        if many > MOST_CLASSES:
            return f"it has {many} different values; if these are the classes, name it with --label"
        if self.words > 5 or self.kind == "dates":
            return f"it holds {self.described}"
        return self.refused


def words(value: str) -> int:
    """The words of a text, an ideograph counting as one."""
    ideographs, rest = _IDEOGRAPH.subn(" ", value)[1], _IDEOGRAPH.sub(" ", value)
    return ideographs + len(rest.split())


def profile(table: Table) -> dict[str, Column]:
    """The columns by name."""
    return {name: Column(name, values) for name, values in table.columns.items()}


def headless(columns: dict[str, Column]) -> str | None:
    """The name of a column that is one of its own classes, where another name is a text: there is no header."""
    own = [name for name, column in columns.items() if column.counts[name] > 1 and not column.refused]
    return own[0] if own and any(words(name) > 1 for name in columns if name not in own) else None


def text_of(columns: dict[str, Column], wanted: str | None, label: str | None) -> Column:
    """The column to read: the longest, by name among those nearly as long; raises HpoError."""
    if wanted is not None:
        return named(columns, wanted, "--text")
    found = [column for column in columns.values() if column.name != label and is_text(column)]
    if not found:
        raise HpoError(f"no column looks like text to read ({described(columns)}); name it with --text")
    most = max(column.words for column in found)
    near = [column for column in found if column.words * 1.5 >= most]
    return min(near, key=lambda column: _rank(column.name, TEXTS))


def texts_like(chosen: Column, columns: dict[str, Column], label: str) -> list[Column]:
    """Columns that might have been read instead: texts nearly as long as the chosen one, or longer."""
    others = [column for column in columns.values() if column.name not in (chosen.name, label) and is_text(column)]
    return [column for column in others if column.words * 1.5 >= chosen.words]


def label_of(columns: dict[str, Column], wanted: str | None, text: str) -> Column:
    """The column to predict: few different short values, by name, else the last such; raises HpoError."""
    if wanted is not None:
        column = named(columns, wanted, "--label")
        _refuse(column, "it is the text; name another with --label" if wanted == text else None)
        _refuse(column, column.refused)
        return column
    others = [column for column in reversed(columns.values()) if column.name != text]
    if found := [column for column in others if not column.doubted]:
        return min(found, key=lambda column: _rank(column.name, LABELS))
    for column in others:
        if len(others) == 1 or _rank(column.name, LABELS) < _UNNAMED:
            _refuse(column, column.doubted)
    raise HpoError(f"no column looks like classes to predict ({described(columns)}); name it with --label")


def groups_of(columns: dict[str, Column], *taken: str) -> list[Column]:
    """Columns whose values repeat: their rows may belong together."""
    others = [column for column in columns.values() if column.name not in taken]
    repeating = [column for column in others if 3 <= len(column.counts) <= 0.7 * len(column.filled)]
    return [column for column in repeating if column.kind in ("ids", "text") and column.words < 5]


def best_named(columns: Sequence[Column], among: Sequence[Column]) -> Column | None:
    """The column of all whose name says most that it is predicted; None where it is not among some."""
    best = min(columns, key=lambda column: _said(column.name), default=None)
    return best if best in among else None


def is_named_label(name: str) -> bool:
    """Whether a column's name is one that classes or numbers to predict often have."""
    return _said(name) < _UNNAMED


def named(columns: dict[str, Column], name: str, option: str) -> Column:
    """The column of a name that an option gave; raises HpoError."""
    if name in columns:
        return columns[name]
    near = get_close_matches(name, columns, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise HpoError(f"{option}: there is no column {name!r}; found {', '.join(columns)}{hint}")


def _refuse(column: Column, why: str | None) -> None:
    if why:
        raise HpoError(f"column {column.name!r} is no label: {why}")


def is_text(column: Column) -> bool:
    """Whether its values look like texts to read, which may stand several times."""
    return column.kind == "text" and len(column.counts) > 1 and len(column.counts) > 0.1 * len(column.filled)


def is_various(column: Column) -> bool:
    """Whether most of its values are different ones, of several words."""
    return len(column.counts) > 0.5 * len(column.filled) and column.words > 1


def _rank(name: str, hints: str) -> int:
    """How well a name goes with the hints: the lower the better, `_UNNAMED` where it does not."""
    parts = {name.lower(), *re.split(r"[^\w]|_", name.lower())}
    return next((rank for rank, hint in enumerate(hints.split()) if hint in parts), _UNNAMED)


def _said(name: str) -> int:
    """The rank of a name, be it of one or of several, among those of what is predicted."""
    low = name.lower()
    forms = {low, low.removesuffix("s"), re.sub("ies$", "y", low)}
    return min(_rank(form, f"{LABELS} {QUANTITIES}") for form in forms)


def described(columns: dict[str, Column]) -> str:
    """What the columns are, the first ten of them."""
    return "; ".join(f"{column.name}: {column.described}" for column in list(columns.values())[:10])


def mostly(tests: Iterable[bool]) -> bool:
    """Whether nearly all are true."""
    found = list(tests)
    return sum(found) >= 0.95 * len(found)


def _number(value: str) -> bool:
    try:
        float(value.replace(",", ""))
    except ValueError:
        return False
    return True


def _identifies(value: str) -> bool:
    return bool(_ID.fullmatch(value)) and not _IDEOGRAPH.search(value)


def _dates(value: str) -> bool:
    return _DATE.fullmatch(value) is not None


_KINDS: dict[str, Callable[[str], bool]] = {"dates": _dates, "numbers": _number, "ids": _identifies}
