"""Every kind of task: a rule that a child could see is learned, on several architectures, cached or not."""

from __future__ import annotations

import csv
import operator
import random
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from objectives import kinds, settings, tasks, trial
from objectives.cache import Cache
from objectives.errors import ObjectiveError
from objectives.evaluation import Evaluation, Result
from objectives.host import Host
from objectives.measures import LOSSES, OF_KIND, class_of

Checkpoint = Callable[[str], Path]
PLAIN = ("bert", "roberta")
GOOD, BAD, NOUNS = ("good", "fine", "nice"), ("bad", "poor", "sad"), ("film", "book", "song")


@dataclass(frozen=True)
class Case:
    """How a kind of task is learned in a moment: its rows, the score that shows it, and settings of its own.

    `without` are metrics of the kind that such rows have not; `agrees` tells whether what is said of a row is what its
    last cell holds.
    """

    header: str
    row: Callable[[random.Random], str]
    metric: str
    families: tuple[str, ...] = PLAIN
    without: Collection[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    agrees: Callable[[Any, str], bool] = operator.eq


def _listed(said: Any, cell: str) -> bool:
    return "|".join(said) == "|".join(sorted(filter(None, cell.split("|"))))


def _worded(said: Any, cell: str) -> bool:
    return [*said] == cell.split()


def _near(said: Any, cell: str) -> bool:
    return abs(said - float(cell)) < 0.25


def _classified(draw: random.Random) -> str:
    good = draw.random() < 0.5
    return f"the {draw.choice(NOUNS)} was {draw.choice(GOOD if good else BAD)},{'yes' if good else 'no'}"


def _alike(draw: random.Random) -> str:
    """Whether the second text praises, whatever the first says."""
    first, second = draw.choice([*GOOD, *BAD]), draw.choice([*GOOD, *BAD])
    return f"the book was {first},{second},{'same' if second in GOOD else 'other'}"


def _named(draw: random.Random) -> str:
    nouns = [noun for noun in NOUNS if draw.random() < 0.5]
    return f"the {' and '.join(nouns) or 'very'} was so,{'|'.join(nouns)}"


def _counted(draw: random.Random) -> str:
    count = draw.randrange(4)
    return f"the film was {'very ' * count}good,{count / 2}"


def _tagged(draw: random.Random, mark: str = "B-") -> str:
    """What kind of word each is: a verdict, a thing, or none."""
    words = [draw.choice([*GOOD, *NOUNS, "the", "was"]) for _ in range(draw.randrange(2, 7))]
    kinds = ["GOOD" if word in GOOD else "NOUN" if word in NOUNS else "" for word in words]
    return f"{' '.join(words)},{' '.join(f'{mark}{kind}' if kind else 'O' for kind in kinds)}"


def _asked(draw: random.Random) -> str:
    """Which thing a text names; some name none, and some are longer than a window."""
    words = draw.choices(["the", "was", "so", "and"], k=draw.randrange(3, 20))
    noun = draw.choice([*NOUNS, ""])
    words.insert(draw.randrange(len(words) + 1), noun)
    return f"very {draw.choice(GOOD)},{' '.join(filter(None, words))},{noun}"


CASES = {
    "text-classification": Case("text,label", _classified, "accuracy"),
    "text-classification of pairs": Case("text,pair,label", _alike, "accuracy", settings={"data": {"pair": "pair"}}),
    "multi-label-classification": Case("text,label", _named, "f1_micro", agrees=_listed),
    "text-regression": Case("text,label", _counted, "r2", agrees=_near),
    "token-classification": Case("text,label", _tagged, "f1", (*PLAIN, "distilbert"), agrees=_worded),
    "token-classification of plain tags": Case(
        "text,label", partial(_tagged, mark=""), "f1_macro", without=("precision", "recall", "f1"), agrees=_worded
    ),
    "question-answering": Case("text,pair,label", _asked, "exact_match", settings={"data": {"pair": "pair"}}),
}


def _kind(name: str) -> str:
    return name.partition(" ")[0]


@pytest.fixture
def lesson(tmp_path: Path, checkpoint: Checkpoint) -> Callable[..., settings.Settings]:
    """The settings of a case's trial with a tiny model of a family."""

    def lesson(name: str, family: str, epochs: int = 8, **model: Any) -> settings.Settings:
        case, draw = CASES[name], random.Random(3)
        rows = [case.row(draw) for _ in range(240)]
        (tmp_path / "rows.csv").write_text("\n".join([case.header, *rows]) + "\n")
        split = {"train": 192, "valid": 24, "test": 24}
        data = {"path": str(tmp_path / "rows.csv"), "max_length": 16, "split": split, **case.settings.get("data", {})}
        training = {"epochs": epochs, "learning_rate": 3e-3, "precision": "fp32", "seed": 1, "batch_size": 8}
        chosen = {"name": str(checkpoint(family)), "dropout": 0.0, **model}
        return settings.parse({"task": _kind(name), "model": chosen, "data": data, "training": training})

    return lesson


def _run(chosen: settings.Settings, host: Host | None = None) -> tuple[list[Evaluation], Result]:
    seen: list[Evaluation] = []
    result = trial.run(chosen, seen.append, host=host or Host("cpu", 1))
    return seen, result


LEARNED = [(name, family) for name, case in CASES.items() for family in case.families]


@pytest.mark.parametrize(("name", "family"), LEARNED)
def test_a_rule_is_learned(lesson: Callable[..., settings.Settings], name: str, family: str) -> None:
    seen, _ = _run(lesson(name, family))
    assert seen[-1].metrics["val_loss"] < seen[0].metrics["val_loss"]
    assert max(each.metrics[CASES[name].metric] for each in seen) > 0.9


@pytest.mark.parametrize("name", CASES)
def test_frozen_states_are_computed_once_with_the_same_losses(
    lesson: Callable[..., settings.Settings], name: str, tmp_path: Path
) -> None:
    chosen = lesson(name, CASES[name].families[0], epochs=2, frozen_layers=2)
    cache = Cache(tmp_path / "cache", trials=100)
    plain, cached = _run(chosen), _run(chosen, Host("cpu", 1, cache=cache))
    assert (plain[1].facts["cached"], cached[1].facts["cached"]) == (False, True)
    losses = [[each.metrics["val_loss"] for each in seen] for seen, _ in (plain, cached)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_model_that_is_left_says_the_same_of_rows_without_labels(
    lesson: Callable[..., settings.Settings], name: str, tmp_path: Path
) -> None:
    seen, _ = _run(settings.replace(lesson(name, "bert"), {"data.score": "test"}))
    assert seen[-1].model is not None
    seen[-1].model(tmp_path / "model")
    with (tmp_path / "rows.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    pairs = [row[1] for row in rows] if len(rows[0]) > 2 else None
    told = trial.predict(tmp_path / "model", [row[0] for row in rows], pairs)
    agreed = sum(CASES[name].agrees(one.label, row[-1]) for one, row in zip(told, rows, strict=True))
    assert agreed > 0.9 * len(rows)


@pytest.mark.parametrize("name", CASES)
def test_it_records_what_it_is_said_to(lesson: Callable[..., settings.Settings], name: str) -> None:
    seen, result = _run(lesson(name, CASES[name].families[0], epochs=1))
    assert result.facts["rows"] == {"train": 192, "valid": 24}
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes", "learning_rate"}
    found = {metric for metric in seen[-1].metrics if class_of(metric) is None} - clocks
    assert found == {*LOSSES, *OF_KIND[_kind(name)]}.difference(CASES[name].without)


def test_every_kind_has_a_case_and_its_parts() -> None:
    assert set(map(_kind, CASES)) == tasks.TASKS.keys() == kinds.KINDS.keys() == OF_KIND.keys()


@pytest.mark.parametrize(
    ("task", "rows", "said"),
    [
        ("text-regression", "a,1\nb,two\n" * 5, "rows.csv, line #: 'two' is no finite number; right is one as 3.5"),
        ("text-regression", "a,nan\nb,2\n" * 5, "rows.csv, line #: 'nan' is no finite number; right is one as 3.5"),
        ("text-regression", "a,1\nb,1\n" * 5, "every training row has the same number in column 'label'"),
        ("multi-label", "a,\nb,\n" * 5, "no training row has a class in column 'label'; right is A|B or a JSON list"),
        ("multi-label", 'a,x\nb,"[1]"\n' * 5, "rows.csv, line #: '[1]' is no list of classes; right is A|B"),
        (
            "ner",
            "a b,O X\na b,O\n" * 5,
            "rows.csv, line #: 2 words in 'text' and 1 tags in 'label'; right is a tag",
        ),
        ("ner", "a b,O O\n" * 5, "every word to train on has the tag 'O'; right is two tags or more"),
        ("ner", "".join(f"a,Y{row}\n" for row in range(9)), "stands in no training row; found Y"),
        ("multi-label", 'a,x\nb,"[x"\n' * 5, "rows.csv, line #: '[x' is no list of classes; right is A|B"),
    ],
)
def test_labels_that_cannot_be_learned(tmp_path: Path, task: str, rows: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    chosen = settings.parse({"task": task, "data": str(tmp_path / "rows.csv")})
    assert isinstance(chosen, settings.Transfer)
    with pytest.raises(ObjectiveError) as caught:
        kinds.targets(chosen.task, chosen.data, kinds.load(chosen.task, chosen.data, 0))
    assert said in re.sub(r"line \d+", "line #", str(caught.value))


@pytest.mark.parametrize(
    ("task", "address", "value"),
    [
        ("text-regression", "training.class_weights", "balanced"),
        ("text-regression", "training.label_smoothing", 0.1),
        ("multi-label-classification", "data.shots", 3),
        ("token-classification", "model.pooling", "mean"),
        ("token-classification", "task.stride", 4),
        ("token-classification", "data.clean.unicode", "nfkc"),
    ],
)
def test_settings_that_mean_nothing_to_a_task(task: str, address: str, value: Any) -> None:
    plain = settings.parse({"task": task, "data": "rows.csv"})
    kinds.check(plain)  # type: ignore[arg-type]
    with pytest.raises(ObjectiveError, match=f"{address}: {task} has no such setting; remove it"):
        kinds.check(settings.replace(plain, {address: value}))  # type: ignore[arg-type]
    with pytest.raises(ObjectiveError, match=f"{address}: {task} has no such setting; remove it"):
        kinds.check(plain, {address})  # type: ignore[arg-type]
