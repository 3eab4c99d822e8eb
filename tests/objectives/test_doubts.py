"""Labels that look like a mistake are said, and nothing is said of others."""

from __future__ import annotations

from objectives.data import Splits
from objectives.doubts import of_labels
from objectives.tables import Table


def doubts(train: list[str], valid: list[str]) -> list[str]:
    return list(of_labels(Splits(Table({"team": train}), Table({"team": valid})), "team"))


def test_labels_as_they_should_be() -> None:
    assert doubts(["news", "new", "sport"] * 3, ["news", "sport"]) == []
    assert doubts([f"{number:03}" for number in range(100)] * 2, ["000"]) == []


def test_one_label_in_several_spellings() -> None:
    """Case, spaces, full-width letters; also where the other spelling stands in the validation rows alone."""
    first, second = doubts(["News", "news ", "sport", "体育A"], ["sport", "体育Ａ"])
    assert first.startswith("team: 'News', 'news ' are 2 classes, though they differ in spelling alone; ")
    assert second.startswith("team: '体育A', '体育Ａ' are 2 classes")


def test_more_classes_than_people_mean() -> None:
    (line,) = doubts([f"{number:03}" for number in range(101)] * 2, [f"{number:03}" for number in range(101)])
    assert line.startswith("team: 101 classes, 3.0 rows to train and validate on for each; ")
