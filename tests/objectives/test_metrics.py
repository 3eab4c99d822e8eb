"""Scores agree with scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from objectives.measures import class_of, direction
from objectives.metrics import of_texts, scores


def case(seed: int, rows: int, present: list[int], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.tensor(present)[torch.randint(len(present), (rows,), generator=draw)]
    logits = torch.randn(rows, count, generator=draw) + torch.nn.functional.one_hot(labels, count)
    return logits, labels


CASES = [
    (seed, rows, present, count)
    for seed in range(3)
    for rows, present, count in [
        (50, [0, 1], 2),
        (200, [0, 1, 2, 3], 4),
        (30, [0, 2], 5),
        (3, [1, 3], 6),
        (1, [1], 2),
        (20, [1], 3),
    ]
]


@pytest.mark.parametrize(("seed", "rows", "present", "count"), CASES)
def test_scores_are_those_of_sklearn(seed, rows, present, count):
    logits, labels = case(seed, rows, present, count)
    names = [f"class {i}" for i in range(count)]
    found, details = scores(logits, labels, names)
    predicted = logits.argmax(1).numpy()
    expected = {"accuracy": accuracy_score(labels, predicted)}
    for average in ("macro", "weighted"):
        values = precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
        expected |= {
            f"{name}_{average}": value for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True)
        }
    each = precision_recall_fscore_support(labels, predicted, labels=range(count), zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), each[:3], strict=True):
        expected |= {f"{name}[{label}]": value for label, value in zip(names, values, strict=True)}
    if len(labels.unique()) == count:
        chances = logits.double().softmax(1).numpy()
        expected["auc"] = roc_auc_score(labels, chances[:, 1] if count == 2 else chances, multi_class="ovr")
    assert found == pytest.approx(expected, abs=1e-6)
    matrix = confusion_matrix(labels, predicted, labels=range(count)).tolist()
    assert details == {"confusion_matrix": {"labels": names, "rows": matrix}}


def test_every_name_is_one_that_a_study_may_optimise():
    found, _ = scores(*case(0, 40, [0, 1], 2), ["ham", "spam [x]"])
    assert {direction(name) for name in found} == {"maximize"}
    assert {class_of(name) for name in found} == {None, "ham", "spam [x]"}
    assert all(type(value) is float for value in found.values())


def test_confident_logits_keep_their_order_in_auc():
    logits = torch.tensor([[0.0, gap] for gap in (18.0, 20.0, 22.0, 24.0)])
    labels = torch.tensor([0, 1, 0, 1])
    expected = roc_auc_score(labels, np.array([18, 20, 22, 24]))
    assert scores(logits, labels, ["a", "b"])[0]["auc"] == pytest.approx(expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_auc_is_left_out_where_a_probability_is_not_finite(bad):
    logits, labels = case(0, 20, [0, 1], 2)
    logits[3] = bad
    found, _ = scores(logits, labels, ["a", "b"])
    assert "auc" not in found
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_any_float_type_and_a_graph_will_do(kind):
    logits, labels = case(0, 20, [0, 1, 2], 3)
    found, _ = scores(logits.to(kind).requires_grad_(), labels, ["a", "b", "c"])
    assert 0 < found["auc"] <= 1


def test_texts_are_scored_as_by_their_own_programs() -> None:
    written = ["the cat sat on the mat today", "a quick brown fox jumps"]
    references = ["the cat sat on a mat today", "the quick brown fox jumps high"]
    # sacreBLEU 2.6.0: corpus_bleu, and corpus_chrf with eps_smoothing; rouge_score 0.1.2, the mean of the F1
    expected = {"bleu": 0.5137480, "chrf": 0.7468004, "rouge1": 0.7922078, "rouge2": 0.6666667, "rougeL": 0.7922078}
    found = of_texts(written, references, [*expected])
    assert found == pytest.approx(expected, abs=1e-6)
    assert of_texts(written, references, ("bleu",)) == {"bleu": found["bleu"]}
