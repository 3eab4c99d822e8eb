"""Labels for texts by a model folder that a training has left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from objectives import devices, tasks, whole
from objectives.batches import Example, by_length, chunks
from objectives.cleaning import as_trained
from objectives.errors import ModelError
from objectives.settings import Task

ROWS_AT_ONCE = 64


class Prediction(NamedTuple):
    """The class of a text and its probability."""

    label: str
    probability: float


def noted(folder: Path) -> dict[str, Any]:
    """What a model folder says of itself; raises ModelError where it is none of ours."""
    try:
        found: dict[str, Any] = json.loads((folder / whole.NOTE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        advice = f"right is a folder that hpo promote wrote, with {whole.NOTE} in it"
        raise ModelError(f"{folder}: is no model folder: {type(error).__name__}; {advice}") from error
    return found


@torch.inference_mode()
def predict(folder: Path, texts: Sequence[str], device: str = "auto", *, allow_code: bool = False) -> list[Prediction]:
    """The class of each text, read as the training read its rows; raises ModelError."""
    note = noted(folder)
    model, tokenizer = whole.read(folder, note, allow_code=allow_code)
    task, machine = tasks.of(Task(kind=note["task"])), devices.machine(device, "fp32")
    model.to(machine.device)
    read = [as_trained(text, **note["clean"]) for text in texts]
    tokens = tokenizer(read, truncation=True, max_length=note["max_length"])["input_ids"] if read else []
    examples = [Example(row, 0) for row in tokens]
    found: dict[int, Prediction] = {}
    for rows in chunks(by_length(examples), ROWS_AT_ONCE):
        batch = partial(task.collate, tokenizer=tokenizer)([examples[row] for row in rows]).to(machine.device)
        chances = model(**batch.inputs).logits.double().softmax(dim=1).cpu()
        found |= dict(zip(rows, _best(chances, note["classes"]), strict=True))
    return [found[row] for row in range(len(examples))]


def _best(chances: torch.Tensor, classes: Sequence[str]) -> Iterator[Prediction]:
    for probability, place in zip(*(part.tolist() for part in chances.max(dim=1)), strict=True):
        yield Prediction(classes[place], probability)
