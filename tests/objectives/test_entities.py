"""Tags of words: entities in every scheme, and scores with known values."""

from __future__ import annotations

import pytest

from objectives import entities
from objectives.words import cell_of, words_of

PER, LOC = "PER", "LOC"


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", "I-PER I-PER B-PER O I-LOC I-PER"),
        ("IOB2", "B-PER I-PER B-PER O B-LOC B-PER"),
        ("IOE1", "I-PER E-PER I-PER O I-LOC I-PER"),
        ("IOE2", "I-PER E-PER E-PER O E-LOC E-PER"),
        ("IOBES", "B-PER E-PER S-PER O S-LOC S-PER"),
        ("BILOU", "B-PER L-PER U-PER O U-LOC U-PER"),
    ],
)
def test_all_schemes_say_the_same(scheme: str, tags: str) -> None:
    assert [*entities.spans(tags.split())] == [(0, 1, PER), (2, 2, PER), (4, 4, LOC), (5, 5, PER)], scheme


def test_types_are_there_where_every_tag_has_a_prefix() -> None:
    assert entities.types(["O", "B-PER", "I-PER", "S-LOC"]) == (LOC, PER)
    assert entities.types(["B-PER", "NOUN"]) == entities.types(["NOUN", "B-"]) == entities.types(["O"]) == ()


def test_entities_are_scored_whole() -> None:
    """The example of seqeval's own description: f1 0.5, MISC 0, PER 1."""
    truth = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = entities.scores(truth, predicted, ["B-MISC", "B-PER", "I-MISC", "I-PER", "O"])
    assert {name: found[name] for name in ("accuracy", "precision", "recall", "f1", "f1_macro")} == {
        "accuracy": 0.8,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "f1_macro": 0.5,
    }
    assert (found["f1[MISC]"], found["recall[PER]"]) == (0.0, 1.0)


def test_an_entity_of_another_type_is_wrong_and_a_missed_one_costs_recall() -> None:
    found = entities.scores([["B-PER", "O", "B-PER"]], [["B-LOC", "O", "B-PER"]], ["B-LOC", "B-PER", "O"])
    assert (found["precision"], found["recall"], found["precision[PER]"], found["recall[PER]"]) == (0.5, 0.5, 1, 0.5)
    missed = entities.scores([["B-PER", "O", "B-PER"]], [["B-PER", "O", "O"]], ["B-PER", "O"])
    assert (missed["precision"], missed["recall"]) == (1, 0.5)
    assert missed["f1"] == pytest.approx(2 / 3)


def test_plain_tags_are_scored_word_by_word() -> None:
    found = entities.scores([["N", "V", "N"], ["N"]], [["N", "N", "N"], ["O"]], ["N", "V", "X"])
    assert "f1" not in found
    assert found["accuracy"] == 0.5
    assert found["precision[N]"] == found["recall[N]"] == pytest.approx(2 / 3)
    assert (found["f1[V]"], found["f1[X]"]) == (0, 0)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 0) / 2)  # X is nowhere


@pytest.mark.parametrize("words", [["a", "b"], ["[", "laughs", "]"], ["[]"], ['["a"]'], ["a b", "c"], ["[1]", "x"]])
def test_a_cell_holds_its_words(words: list[str]) -> None:
    assert words_of(cell_of(words)) == words


def test_words_of_a_json_list() -> None:
    assert words_of('["New York", "is"]') == ["New York", "is"]
    assert words_of("[ laughs ] so") == ["[", "laughs", "]", "so"]
