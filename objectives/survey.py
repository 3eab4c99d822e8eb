"""What the rows of a study look like, split by split, and what in them spoils a comparison; no torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar
from zlib import crc32

from objectives import data, folders, kinds, lengths, sources
from objectives.errors import DataError, ObjectiveError
from objectives.settings import Transfer
from objectives.sources import Source
from objectives.tokens import Counts

LIMIT = 10_000
"""Rows of a split whose tokens are counted and that are compared; of more, so many at equal distances."""

NEAR = 0.8
"""Texts are near duplicates where so much of all their 5-grams is in both."""

NOTHING = frozenset(("nan", "null", "n/a", "#n/a", "na", "nil", "-", "--", "?", ".", "无", "空", "缺失"))
"""What programs and people write where a value is missing; `none` is not among it, since classes are called so."""

_LISTED = 12
_SKETCH = 4
_CROWD = 8


@dataclass(frozen=True)
class Share:
    """So many `count` of all; `counted` is whether a person reads the number beside the share."""

    count: int
    of: int
    counted: bool = False

    def __str__(self) -> str:
        return f"{_share(self.count, self.of)} ({self.count})" if self.counted else _share(self.count, self.of)

    def plain(self) -> dict[str, int]:
        """Both numbers, ready for JSON."""
        return {"count": self.count, "of": self.of}


@dataclass(frozen=True)
class Lengths:
    """Tokens of a row: the median, the 95th percentile and the most."""

    median: int
    high: int
    most: int

    def __str__(self) -> str:
        return f"{self.median}, {self.high}, {self.most}"

    def plain(self) -> dict[str, int]:
        """The three numbers, ready for JSON."""
        return asdict(self)


Measure = int | Share | Lengths
T = TypeVar("T")


@dataclass(frozen=True)
class Survey:
    """Measures by split, in the order they are read, and what to do about them, a line each."""

    measures: Mapping[str, Mapping[str, Measure]]
    advice: Sequence[str]
    splits: Sequence[str]

    def plain(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        measures = {
            name: {split: found if isinstance(found, int) else found.plain() for split, found in by_split.items()}
            for name, by_split in self.measures.items()
        }
        return {"splits": list(self.splits), "measures": measures, "advice": list(self.advice)}


@dataclass(frozen=True)
class _Look:
    """The splits of a study, by name, what is read of each row, and what was found so far."""

    settings: Transfer
    tables: Mapping[str, data.Table]
    read: Mapping[str, Sequence[str]]
    source: Source | None = None
    measures: dict[str, dict[str, Measure]] = field(default_factory=lambda: defaultdict(dict))
    advice: list[str] = field(default_factory=list)

    @property
    def what(self) -> str:
        """What a row is called."""
        return "text" if kinds.has_texts(self.settings) else "image"

    def has(self, column: str) -> bool:
        """Whether a column is read, as one to predict may not be."""
        return all(column in table.columns for table in self.tables.values())

    def labels(self, name: str) -> Sequence[str]:
        return self.tables[name].column(self.settings.data.label)


def survey(settings: Transfer, seed: int, source: Source | None = None) -> Survey:
    """What the rows look like; raises DataError where those to train and validate on cannot be read.

    `source` is where the model is, whose tokens are counted; by default it is found by its name.

    Test rows are counted like the others; where they cannot be read, that is among the advice.
    """
    advice = []
    try:
        splits = kinds.load(settings.task, settings.data, seed, test=True, draw=settings.training.seed)
    except DataError as error:
        splits = kinds.load(settings.task, settings.data, seed, draw=settings.training.seed)
        advice.append(f"the test rows: objective.{error}")
    tables = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    filled = {name: table for name, table in tables.items() if table is not None}
    read = {name: _read(settings, table) for name, table in filled.items()}
    look = _Look(settings, filled, read, source, advice=advice)
    of_texts = (_near, _tokens) if kinds.has_texts(settings) else ()
    for measure in (_rows, _classes, _missing, _repeats, _leaks, *of_texts):
        measure(look)
    return Survey(look.measures, look.advice, list(look.tables))


def _read(settings: Transfer, table: data.Table) -> Sequence[str]:
    """What tells a row from others: its text, or a digest of its image."""
    if kinds.has_texts(settings):
        return kinds.texts(table, settings.data)
    return folders.digests(table, settings.data.text, "data.text")


def _rows(look: _Look) -> None:
    for name, table in look.tables.items():
        look.measures["rows"][name] = len(table)


def _classes(look: _Look) -> None:
    if not kinds.has_classes(look.settings):
        return
    most = Counter(look.labels("train")).most_common()
    for name, table in look.tables.items():
        counts = Counter(look.labels(name))
        for label, _ in most[:_LISTED]:
            look.measures[f"class {label}"][name] = Share(counts[label], len(table), counted=True)
        if more := most[_LISTED:]:
            rest = sum(counts[label] for label, _ in more)
            look.measures[f"{len(more)} more classes"][name] = Share(rest, len(table), counted=True)
    if most[0][1] >= 10 * most[-1][1] and look.settings.training.class_weights == "none":
        times = most[0][1] // most[-1][1]
        seen = f"class {most[0][0]!r} has {times} times the training rows of {most[-1][0]!r}"
        look.advice.append(f"{seen}: metric: f1_macro and training.class_weights: balanced count them the same")


def _missing(look: _Look) -> None:
    """Cells that were empty in the file, which `data.clean.drop_empty` removed, and cells that stand for nothing.

    Without `drop_empty` an empty cell is an error before any of this. One file is cleaned before it is divided: its
    count stands with the training rows.
    """
    names = look.tables if not _is_divided(look.settings) else ["train"]
    found = 0
    for column in filter(look.has, (look.settings.data.text, look.settings.data.label)):
        for name in names:
            removed = look.tables[name].removed.get(column, 0)
            if look.settings.data.clean.drop_empty:
                look.measures[f"empty {column}, removed"][name] = removed
        for name, table in look.tables.items():
            count = sum(value.strip().casefold() in NOTHING for value in table.column(column))
            look.measures[f"missing {column} (nan, null, -)"][name] = count
            found += count
    if found:
        look.advice.append(f"{_counted(found, 'cell')} such as 'nan' or '-' stand for nothing, and are learned as text")


def _is_divided(settings: Transfer) -> bool:
    """Whether one file is divided into the splits."""
    return settings.data.path is not None


def _repeats(look: _Look) -> None:
    for name, table in look.tables.items():
        look.measures[f"{look.what}s that stood before"][name] = len(table) - len(set(look.read[name]))
    if not look.has(look.settings.data.label):
        return
    pairs = {pair for name in look.tables for pair in zip(look.read[name], look.labels(name), strict=True)}
    doubted = sum(count > 1 for count in Counter(text for text, _ in pairs).values())
    if doubted:
        look.advice.append(f"{_counted(doubted, look.what)} with more than one label: no model can be right on all")


def _leaks(look: _Look) -> None:
    known, found = set(look.read["train"]), 0
    for name in _others(look):
        count = sum(one in known for one in look.read[name])
        look.measures[f"the same {look.what} in train"][name] = count
        found += count
    if found:
        cleaned = look.settings.data.path and look.what == "text"
        way = "data.clean.deduplicate removes them" if cleaned else "remove them from one of the two"
        look.advice.append(f"{_counted(found, look.what)} to validate or test on also in train: {way}")


def _near(look: _Look) -> None:
    same, known, found = set(look.read["train"]), _Sketches(), 0
    for name in look.tables:
        within = known if name == "train" else _Sketches()
        texts = dict.fromkeys(_sampled(look.read[name]))
        look.measures["nearly a text that stood before"][name] = sum(within.meets(text) for text in texts)
    for name in _others(look):
        count = sum(text not in same and known.has_near(text) for text in _sampled(look.read[name]))
        look.measures["nearly the same text in train"][name] = count
        found += count
    if found >= 0.01 * sum(len(look.tables[name]) for name in _others(look)) > 0:
        way = "if a column tells what belongs together, name it in data.group"
        look.advice.append(f"{_counted(found, 'text')} to validate or test on nearly the same in train: {way}")


def _tokens(look: _Look) -> None:
    try:
        source = look.source or sources.find(look.settings.model)
    except ObjectiveError:
        return
    some = {name: table.take(_sampled(range(len(table)))) for name, table in look.tables.items()}
    found = {name: lengths.read(look.settings, table, source) for name, table in some.items()}
    counts = {name: count for name, count in found.items() if count is not None}
    limit, whole = look.settings.data.max_length, _whole(look)
    what = f"{whole or 'cut at max_length'} {limit}"
    _measure(look, counts, ("tokens: median, 95 %, most", what), limit)
    for name, count in counts.items():
        look.measures["unknown tokens"][name] = Share(count.unknown, sum(count.lengths))
    if not whole:
        look.advice.extend(_of_cuts(counts, limit, "texts", "data.max_length"))
    look.advice.extend(_of_unknown(look, counts))
    told = {name: lengths.written(look.settings, table, source) for name, table in some.items()}
    wanted, most = {name: count for name, count in told.items() if count}, look.settings.task.max_target_length
    _measure(look, wanted, ("tokens to write: median, 95 %, most", f"cut at max_target_length {most}"), most)
    look.advice.extend(_of_cuts(wanted, most, "texts to write", "task.max_target_length"))


def _measure(look: _Look, counts: Mapping[str, Counts], names: tuple[str, str], limit: int) -> None:
    """How long texts are, and how many are longer than a limit, under these two names."""
    for name, count in counts.items():
        found = sorted(count.lengths)
        middle, high = found[len(found) // 2], found[int(0.95 * (len(found) - 1))]
        look.measures[names[0]][name] = Lengths(middle, high, found[-1])
        look.measures[names[1]][name] = Share(sum(length > limit for length in found), len(found))


def _whole(look: _Look) -> str:
    """What becomes of a text that is too long, where none of it is cut off."""
    task = look.settings.task
    if kinds.KINDS[task.kind].windows:
        return "in several windows of"
    return "in several rows of" if task.packing else ""


def _of_cuts(counts: Mapping[str, Counts], limit: int, what: str, address: str) -> Iterator[str]:
    found = [length for count in counts.values() for length in count.lengths]
    cut = sum(length > limit for length in found)
    if cut > 0.1 * len(found):
        yield f"{_share(cut, len(found))} of the {what} are cut off: raise {address}"


def _of_unknown(look: _Look, counts: Mapping[str, Counts]) -> Iterator[str]:
    every = sum(sum(count.lengths) for count in counts.values())
    unknown = sum(count.unknown for count in counts.values())
    if unknown > 0.05 * every:
        seen = f"{_share(unknown, every)} of the tokens are unknown to {look.settings.model.name}"
        yield f"{seen}: model.name: bert-base-chinese or xlm-roberta-base may know them"


def _others(look: _Look) -> list[str]:
    return [name for name in look.tables if name != "train"]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 10 or not part else f"{share:.1f} %"


def _sampled(some: Sequence[T]) -> Sequence[T]:
    return some[:: max(1, -(-len(some) // LIMIT))]


class _Sketches:
    """Texts by the lowest hashes of their 5-grams: near duplicates share one of them almost always.

    At most so many texts are kept for a hash, so that the cost grows with the texts, not with their pairs.
    """

    def __init__(self) -> None:
        self.grams: list[frozenset[int]] = []
        self.homes: dict[int, list[int]] = defaultdict(list)

    def meets(self, text: str) -> bool:
        """Keep a text; whether it has nearly the 5-grams of one that was kept before."""
        grams = _grams(text)
        found = self._has_near(grams)
        self.grams.append(grams)
        for low in sorted(grams)[:_SKETCH]:
            if len(self.homes[low]) < _CROWD:
                self.homes[low].append(len(self.grams) - 1)
        return found

    def has_near(self, text: str) -> bool:
        """Whether a text has nearly the 5-grams of one of these."""
        return self._has_near(_grams(text))

    def _has_near(self, grams: frozenset[int]) -> bool:
        lowest = sorted(grams)[:_SKETCH]
        candidates = {index for low in lowest for index in self.homes.get(low, ())}
        return any(_overlap(grams, self.grams[index]) for index in candidates)


def _grams(text: str) -> frozenset[int]:
    """The hashes of a text's runs of five characters, whatever its case and spaces, of its first thousand."""
    plain = " ".join(text.casefold().split())[:1000]
    return frozenset(crc32(plain[start : start + 5].encode()) for start in range(max(1, len(plain) - 4)))


def _overlap(one: frozenset[int], other: frozenset[int]) -> bool:
    if min(len(one), len(other)) < NEAR * max(len(one), len(other)):
        return False
    both = len(one & other)
    return both >= NEAR * (len(one) + len(other) - both)
