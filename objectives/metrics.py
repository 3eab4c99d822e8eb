"""Scores of a classifier, by torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

MEASURES = {"precision": multiclass_precision, "recall": multiclass_recall, "f1": multiclass_f1_score}


def scores(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics by name, and the confusion matrix: `rows[true][predicted]`, in the order of the classes.

    `logits` is [rows, classes] of any float type, `labels` [rows] of class indices; there is at least one row.
    As in scikit-learn, zero divided by zero is 0 and a macro average is over the classes that are true or predicted
    in some row. `auc` is the area under the ROC curve, for more than two classes the mean of one against the rest;
    it is left out where it is not defined: a class has no rows, or a probability is not finite.
    """
    logits, labels = logits.detach().double().cpu(), labels.detach().cpu()
    predicted, count = logits.argmax(dim=1), len(classes)
    metrics = {"accuracy": float(multiclass_accuracy(predicted, labels, count, average="micro"))}
    for name, measure in MEASURES.items():
        for average in ("macro", "weighted"):
            metrics[f"{name}_{average}"] = float(measure(predicted, labels, count, average=average))
        each = measure(predicted, labels, count, average="none").tolist()
        metrics |= {f"{name}[{label}]": value for label, value in zip(classes, each, strict=True)}
    matrix = multiclass_confusion_matrix(predicted, labels, count).tolist()
    return metrics | _auc(logits, labels), {"confusion_matrix": {"labels": list(classes), "rows": matrix}}


def _auc(logits: Tensor, labels: Tensor) -> dict[str, float]:
    # double precision on the CPU: in single, confident probabilities round to ties
    chances, count = logits.softmax(dim=1), logits.shape[1]
    if not chances.isfinite().all() or not labels.bincount(minlength=count).all():
        return {}
    if count == 2:
        return {"auc": float(binary_auroc(chances[:, 1], labels))}
    return {"auc": float(multiclass_auroc(chances, labels, count, average="macro"))}
