"""Scores of what was predicted, by torchmetrics."""

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
    multilabel_average_precision,
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)
from torchmetrics.functional.regression import (
    mean_absolute_error,
    mean_squared_error,
    pearson_corrcoef,
    r2_score,
    spearman_corrcoef,
)
from torchmetrics.functional.text import chrf_score, sacre_bleu_score, squad
from torchmetrics.functional.text.rouge import rouge_score

MEASURES = {"precision": multiclass_precision, "recall": multiclass_recall, "f1": multiclass_f1_score}
_SEVERAL = {"precision": multilabel_precision, "recall": multilabel_recall, "f1": multilabel_f1_score}


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


def of_several(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Metrics of rows that have any number of classes.

    `logits` and `labels` (0 or 1) are [rows, classes]; a class is predicted where its logit is above 0. Averages are
    micro (over all decisions) and macro (over the classes). `average_precision` is the mean over the classes that some
    row has; `subset_accuracy` is the share of rows with all classes right.
    """
    chances, labels = logits.detach().double().sigmoid().cpu(), labels.detach().cpu()
    count, metrics = len(classes), {"subset_accuracy": float((labels == (chances > 0.5)).all(dim=1).double().mean())}
    for name, measure in _SEVERAL.items():
        for average in ("micro", "macro"):
            metrics[f"{name}_{average}"] = float(measure(chances, labels, count, average=average))
        each = measure(chances, labels, count, average="none").tolist()
        metrics |= {f"{name}[{label}]": value for label, value in zip(classes, each, strict=True)}
    there = labels.any(dim=0)
    if not there.any():
        return metrics
    areas = multilabel_average_precision(chances[:, there], labels[:, there], int(there.sum()), average="macro")
    return metrics | {"average_precision": float(areas)}


def of_answers(predicted: Sequence[str], truth: Sequence[Sequence[str]]) -> dict[str, float]:
    """Shares, 0 to 1, of what was answered to each question, beside the right answers, of which there may be none.

    As SQuAD's script scores them, whatever the case, punctuation and articles: `exact_match` are answers that are a
    right one, `f1` is of their words and those of the nearest right one; "" is right where there is none.
    """
    said: Any = [{"id": str(row), "prediction_text": text} for row, text in enumerate(predicted)]
    right: Any = [
        {"id": str(row), "answers": {"text": list(texts) or [""], "answer_start": [0] * (len(texts) or 1)}}
        for row, texts in enumerate(truth)
    ]
    return {name: float(value) / 100 for name, value in squad(said, right).items()}


def of_numbers(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Metrics of predicted numbers [rows] beside the true ones [rows].

    `r2`, `pearson` and `spearman` are left out where they are not defined: one row, or numbers that are all the same.
    """
    predicted, truth = predicted.detach().double().cpu(), truth.detach().double().cpu()
    metrics = {"mse": float(mean_squared_error(predicted, truth)), "mae": float(mean_absolute_error(predicted, truth))}
    if _differ(truth):
        metrics["r2"] = float(r2_score(predicted, truth))
        if _differ(predicted):
            metrics["pearson"] = float(pearson_corrcoef(predicted, truth))
            metrics["spearman"] = float(spearman_corrcoef(predicted, truth))
    return metrics


def of_texts(written: Sequence[str], references: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Those of `names` among `bleu`, `chrf`, `rouge1`, `rouge2` and `rougeL`, each from 0 to 1.

    `bleu` (Papineni et al., 2002) is sacreBLEU's, over all texts, of words as its 13a cuts them, without its smoothing:
    0 where no four words in a row are right. `chrf` (Popovic, 2015) is its chrF with eps_smoothing, of up to 6
    characters and no words, which texts shorter than that lower. Theirs are a hundred times as large. ROUGE (Lin, 2004)
    is the mean F1 of the texts, of words of Latin letters and digits, not stemmed.
    """
    listed = [[text] for text in references]
    found: dict[str, float] = {}
    if "bleu" in names:
        found["bleu"] = float(sacre_bleu_score(written, listed))
    if "chrf" in names:
        found["chrf"] = float(chrf_score(written, listed, n_word_order=0))  # type: ignore[arg-type]
    rouges = tuple(name for name in names if name.startswith("rouge"))
    scored = rouge_score(written, references, rouge_keys=rouges) if rouges else {}
    return found | {name: float(scored[f"{name}_fmeasure"]) for name in rouges}


def perplexity(losses: Tensor, items: int) -> float:
    """e to the mean loss of a token, in nats: of so many `items` whose losses add up to those of the rows [rows]."""
    return float((losses.double().sum() / items).exp())


def _differ(numbers: Tensor) -> bool:
    return bool((numbers != numbers[0]).any())


def _auc(logits: Tensor, labels: Tensor) -> dict[str, float]:
    # double precision on the CPU: in single, confident probabilities round to ties
    chances, count = logits.softmax(dim=1), logits.shape[1]
    if not chances.isfinite().all() or not labels.bincount(minlength=count).all():
        return {}
    if count == 2:
        return {"auc": float(binary_auroc(chances[:, 1], labels))}
    return {"auc": float(multiclass_auroc(chances, labels, count, average="macro"))}
