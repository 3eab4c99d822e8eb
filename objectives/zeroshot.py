"""Classes for texts without training: each text's is the one whose own text is nearest in an encoder's space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from objectives import devices, models, tasks
from objectives.batches import Example, by_length, chunks
from objectives.cleaning import as_trained
from objectives.host import Host
from objectives.prediction import ROWS_AT_ONCE, Prediction
from objectives.ready import in_use
from objectives.settings import Transfer


@torch.inference_mode()
def predict(settings: Transfer, texts: Sequence[str], names: Mapping[str, str], host: Host) -> list[Prediction]:
    """The class of each text by cosine of mean-pooled states, and the share of a softmax over the cosines.

    `names` are the classes, each with the text that stands for it. The encoder is `model.name` as it was pretrained,
    and texts are read as the settings say. Raises ObjectiveError.
    """
    chosen = settings.model.model_copy(update={"pooling": "mean"})
    machine, task = devices.machine(host.device, "fp32"), tasks.of(settings.task)
    with in_use(chosen, allow_code=host.allow_code, cache=host.models) as source:
        encoder = models.load(chosen, source, task.head, tuple(names), 0)
        tokenizer = models.tokenizer(source, settings.data.max_length)
    encoder.classifier = nn.Identity()  # what stands before the head is the pooled text
    encoder.to(machine.device)
    clean = settings.data.clean.model_dump(include={"strip_html", "unicode"})
    read = [as_trained(text, **clean) for text in (*names.values(), *texts)]
    tokens = tokenizer(read, truncation=True, max_length=settings.data.max_length)["input_ids"]
    states = _states(encoder, [Example(row, 0) for row in tokens], task, tokenizer, machine.device)
    cosines = states[len(names) :] @ states[: len(names)].T
    chances, places = cosines.softmax(dim=1).max(dim=1)
    known = list(names)
    return [Prediction(known[at], share) for at, share in zip(places.tolist(), chances.tolist(), strict=True)]


def _states(encoder: Any, rows: Sequence[Example], task: Any, tokenizer: Any, device: torch.device) -> Tensor:
    """The pooled texts, each of length 1 [rows, size]."""
    order, found = by_length(rows), []
    for part in chunks(order, ROWS_AT_ONCE):
        batch = task.collate([rows[row] for row in part], tokenizer).to(device)
        found.append(encoder(**batch.inputs).logits.double().cpu())
    back = torch.empty(len(order), dtype=torch.long)
    back[order] = torch.arange(len(order))
    return normalize(torch.cat(found), dim=1)[back]
