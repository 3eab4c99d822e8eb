"""Classes for texts without training: each text's is the one whose own text is nearest in an encoder's space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch.nn.functional import normalize

from objectives import devices, models, tasks
from objectives.batches import Example
from objectives.cleaning import as_trained
from objectives.features import features
from objectives.host import Host
from objectives.prediction import Prediction
from objectives.ready import in_use
from objectives.settings import Transfer


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
    clean = settings.data.clean.model_dump(include={"strip_html", "unicode"})
    read = [as_trained(text, **clean) for text in (*names.values(), *texts)]
    tokens = tokenizer(read, truncation=True, max_length=settings.data.max_length)["input_ids"]
    collate = partial(task.collate, tokenizer=tokenizer)
    states = normalize(features(encoder, [Example(row, 0) for row in tokens], collate, machine.device), dim=1)
    cosines = states[len(names) :] @ states[: len(names)].T
    chances, places = cosines.softmax(dim=1).max(dim=1)
    known = list(names)
    return [Prediction(known[at], share) for at, share in zip(places.tolist(), chances.tolist(), strict=True)]
