"""How much a pretrained model knows of some rows before it is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, tensor
from torch.nn.functional import one_hot

from objectives import devices, kinds, models, tasks, transfer
from objectives.batches import Example
from objectives.errors import ModelError
from objectives.evaluation import Rating
from objectives.evidence import explain
from objectives.features import features
from objectives.host import Host
from objectives.ready import in_use
from objectives.settings import Head, Model, Transfer, split_seed


def rate(settings: Transfer, host: Host, rows: int) -> Rating:
    """Read so many training rows and validation rows at most with the model as it was pretrained, and see what a linear
    model makes of their features: mean-pooled tokens unless `model.pooling` says another, or an image's.

    Raises ObjectiveError, also for a task whose head reads every token.
    """
    task, began = tasks.of(settings.task), perf_counter()
    head = models.HEADS[task.head]
    if not (head.pools or head.images):
        raise ModelError(f"task.kind: {settings.task.kind} makes no one vector of a row, by which models are ranked")
    used = in_use(settings.model, allow_code=host.allow_code, cache=host.models)
    with devices.threaded(host.threads), used as source:
        found = transfer.read(settings, source, host.cache)
        model = models.load(_pooled(settings, head.images), source, task.head, found.classes, 0)
        train, valid = (_some(part, rows, split_seed(settings)) for part in (found.train, found.valid))
        collate = partial(task.collate, tokenizer=found.tokenizer)
        seen = features(model, [*train, *valid], collate, devices.machine(host.device, "fp32").device).numpy()
    by_class = len(found.classes) if kinds.has_classes(settings) else None
    explained = explain(seen[: len(train)], _targets(train, by_class))
    said = torch.from_numpy(explained.predict(seen[len(train) :]))
    answers = said - 0.5 if isinstance(valid[0].label, list) else said  # of several classes those above 0 are told
    metrics, _ = task.scores(answers, valid, found.classes)
    return Rating(explained.log_me, dict(metrics), len(train), len(valid), perf_counter() - began)


def _pooled(settings: Transfer, images: bool) -> Model:
    pooling = "mean" if settings.model.pooling == "head" and not images else settings.model.pooling
    return settings.model.model_copy(update={"pooling": pooling, "head": Head()})


def _some(examples: Sequence[Example], rows: int, seed: int) -> list[Example]:
    """So many of them at most, drawn."""
    drawn = np.random.default_rng(seed).permutation(len(examples))[:rows]
    return [examples[place] for place in sorted(drawn.tolist())]


def _targets(examples: Sequence[Example], classes: int | None) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[rows, targets]: 1 where a row is of a class, or the numbers that it is labelled with."""
    labels: Tensor = tensor([example.label for example in examples])
    spread = one_hot(labels, classes) if classes else labels.reshape(len(examples), -1)
    return spread.double().numpy()
