"""The metrics that tasks record: which kind of task has which, and which way each is better."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

Direction = Literal["minimize", "maximize"]

LOSSES = ("val_loss", "train_loss")
"""Of every kind of task, lower being better: means of what is plainly optimised, in nats where it is a likelihood."""

_ERRORS = ("mse", "mae")
_ONE_CLASS = tuple(f"{name}_{mean}" for name in ("precision", "recall", "f1") for mean in ("macro", "weighted"))
_CLASSES = tuple(f"{name}_{mean}" for name in ("precision", "recall", "f1") for mean in ("micro", "macro"))
_OVERALL = ("precision", "recall", "f1")
_TEXTS = ("bleu", "chrf")
_LOWER = (*LOSSES, *_ERRORS, "perplexity")
_LIMITS = {"perplexity": (1.0, math.inf), "r2": (-math.inf, 1.0), "pearson": (-1.0, 1.0), "spearman": (-1.0, 1.0)}
_PER_CLASS = re.compile(r"(precision|recall|f1)\[(.+)\]")

OF_KIND: dict[str, Sequence[str]] = {
    "text-classification": ("accuracy", "auc", *_ONE_CLASS),
    "multi-label-classification": ("subset_accuracy", "average_precision", *_CLASSES),
    "text-regression": (*_ERRORS, "r2", "pearson", "spearman"),
    "token-classification": ("accuracy", *_OVERALL, *(f"{name}_macro" for name in _OVERALL)),
    "question-answering": ("exact_match", "f1"),
    "translation": _TEXTS,
    "summarization": ("rouge1", "rouge2", "rougeL", *_TEXTS),
    "text-generation": ("perplexity",),
    "fill-mask": ("perplexity", "accuracy"),
    "image-classification": ("accuracy", "auc", *_ONE_CLASS),
}
"""What a kind of task records beside the losses; those with classes also the precision, recall and F1 of each."""

METRICS = tuple(dict.fromkeys([*LOSSES, *(name for names in OF_KIND.values() for name in names)]))


def direction(metric: str) -> Direction | None:
    """Whether a metric is better low or high; None for a name that no task records."""
    if metric in _LOWER:
        return "minimize"
    return "maximize" if metric in METRICS or class_of(metric) else None


def is_share(metric: str) -> bool:
    """Whether a metric lies between 0 and 1."""
    return direction(metric) == "maximize" and metric not in ("r2", "pearson", "spearman")


def limits(metric: str) -> tuple[float, float]:
    """The least and the most that a metric can be."""
    if is_share(metric):
        return 0.0, 1.0
    return _LIMITS.get(metric, (0.0, math.inf))


def class_of(metric: str) -> str | None:
    """The label that a metric of one class names: `spam` in `recall[spam]`."""
    found = _PER_CLASS.fullmatch(metric)
    return found[2] if found else None


def recorded(metric: str, kind: str) -> bool:
    """Whether this kind of task may record the metric."""
    return metric in LOSSES or metric in OF_KIND[kind] or (class_of(metric) is not None and "f1_macro" in OF_KIND[kind])
