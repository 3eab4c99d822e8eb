"""Simple rules against small cases that are worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from objectives import logistic, rules, trial
from objectives.prediction import Prediction
from objectives.rules import Labelled
from objectives.settings import Transfer, parse


def test_the_most_frequent_class_is_said_of_every_row() -> None:
    assert rules.majority(Labelled(["x"] * 5, ["b", "a", "b", "c", "b"]), 3) == ["b"] * 3
    assert rules.majority(Labelled(["x"] * 4, ["b", "a", "a", "b"]), 1) == ["a"]


def test_a_logistic_regression_ends_where_the_slope_is_zero() -> None:
    """Rows 1 and -1 of two classes: at weights 1 and -1 the likelier class has sigmoid(2), and so the slope of the loss
    is -2 (1 - sigmoid(2)), which a penalty of as much makes up for."""
    rows, labels = sparse.csr_array([[1.0], [-1.0]]), np.array([0, 1])
    line = logistic.fit(rows, labels, 2, 2 * (1 - 1 / (1 + np.exp(-2.0))))
    assert line.weights == pytest.approx(np.array([[1.0, -1.0]]), abs=1e-4)
    assert line.bias == pytest.approx(np.zeros(2), abs=1e-4)
    assert line.predict(sparse.csr_array([[0.1], [-3.0]])).tolist() == [0, 1]


def test_a_bias_alone_gives_the_shares_of_the_classes() -> None:
    line = logistic.fit(sparse.csr_array((8, 0)), np.array([0, 0, 0, 0, 0, 0, 1, 1]), 2, 1.0)
    assert line.bias[0] - line.bias[1] == pytest.approx(np.log(3), abs=1e-4)


def test_words_tell_classes_apart_and_the_validation_rows_choose_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    train = Labelled(["good film", "good song", "good book", "bad film", "bad song", "bad book"], [*"pppnnn"])
    assert rules.by_words(train, train, ["a good one", "bad it was"]) == ["p", "n"]
    asked: list[float] = []

    def predicted(given: Labelled, texts: list[str], penalty: float) -> list[str]:
        asked.append(penalty)
        return ["p" if penalty == 0.1 or len(given.texts) > 6 else "n"] * len(texts)

    monkeypatch.setattr(rules, "_predicted", predicted)
    valid = Labelled(["good"], ["p"])
    assert rules.by_words(train, valid, ["good"]) == ["p"]
    assert asked == [*rules.PENALTIES, 0.1]
    rules.by_words(train, valid, ["good"])
    monkeypatch.setattr(rules, "PENALTIES", (1.0,))
    assert rules.by_words(train, valid, ["good"]) == ["n"]
    assert rules.by_words(train, valid, ["good"], all_rows=True) == ["p"]


def settings(bert: Path) -> Transfer:
    tree = {"task": "text-classification", "model": str(bert), "data": {"path": "none.csv", "max_length": 12}}
    found = parse(tree)
    assert isinstance(found, Transfer)
    return found


def test_the_nearest_name_is_the_class_without_training(bert: Path) -> None:
    names = {"pos": "good film", "neg": "sad poor song"}
    texts = ["sad poor song", "good film", "sad poor song", "the good film"]
    found = trial.resemble(settings(bert), texts, names)
    assert [one.label for one in found[:3]] == ["neg", "pos", "neg"]
    assert all(isinstance(one, Prediction) and 0.5 <= one.probability <= 1 for one in found)


def test_the_space_is_that_of_mean_pooled_states(bert: Path) -> None:
    """As computed text by text, with nothing padded."""
    import torch
    from torch.nn.functional import cosine_similarity
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)

    def state(text: str) -> torch.Tensor:
        tokens = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            return model(tokens["input_ids"]).last_hidden_state[0].mean(dim=0).double()

    names, text = {"a": "good", "b": "the sad song was poor"}, "very nice book and so"
    cosines = torch.stack([cosine_similarity(state(text), state(name), dim=0) for name in names.values()])
    (found,) = trial.resemble(settings(bert), [text], names)
    assert found.label == "ab"[int(cosines.argmax())]
    assert found.probability == pytest.approx(float(cosines.softmax(dim=0).max()), abs=1e-5)
