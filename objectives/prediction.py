"""What a model folder that a training has left says of rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from objectives import devices, models, prompts, tasks, whole
from objectives.batches import Example, by_length, chunks, joined
from objectives.cleaning import as_trained
from objectives.errors import ModelError
from objectives.settings import Data, Task
from objectives.sources import NOTE
from objectives.tables import Table
from objectives.tokenized import Reader

ROWS_AT_ONCE = 64


class Prediction(NamedTuple):
    """What a model says of a row, such as its class, and the probability of that; None where there is none."""

    label: Any
    probability: float | None


def noted(folder: Path) -> dict[str, Any]:
    """What a model folder says of itself; raises ModelError where it is none of ours."""
    try:
        found: dict[str, Any] = json.loads((folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        advice = f"right is a folder that hpo promote wrote, with {NOTE} in it"
        raise ModelError(f"{folder}: is no model folder: {type(error).__name__}; {advice}") from error
    return found


@torch.inference_mode()
def predict(
    folder: Path,
    texts: Sequence[str],
    device: str = "auto",
    *,
    pairs: Sequence[str] | None = None,
    source: str = "rows",
    allow_code: bool = False,
) -> list[Prediction]:
    """What the model says of each text, with the text beside it where it was trained on `pairs`.

    They are read as the training read its rows. A text that is an image's path counts from `source`: a folder, an
    archive, or a file beside it. Raises ModelError, DataError.
    """
    note = noted(folder)
    if not texts:
        return []
    model, tokenizer = whole.read(folder, note, allow_code=allow_code)
    # each text is a row of its own, however the training packed them
    chosen = Task.model_validate(note.get("settings", note["task"])).model_copy(update={"packing": False})
    task, machine = tasks.of(chosen), devices.machine(device, "fp32")
    put, columns = prompts.prompted(chosen.prompt, _columns(note))
    examples = task.encode(put(_table(note, texts, pairs, source)), Reader(tokenizer), columns, note["classes"])
    answers = _answers(model.to(machine.device), task, tokenizer, examples, machine.device)
    return [Prediction(*told) for told in task.tell(answers, examples, note["classes"])]


def _table(note: dict[str, Any], texts: Sequence[str], pairs: Sequence[str] | None, source: str) -> Table:
    if note.get("pair") and pairs is None:
        raise ModelError(f"the model reads pairs of texts: {note['text']} and {note['pair']}")
    found = {"text": texts, **({"pair": pairs} if note.get("pair") and pairs is not None else {})}
    return Table({name: [as_trained(text, **note["clean"]) for text in some] for name, some in found.items()}, source)


def _columns(note: dict[str, Any]) -> Data:
    pair = "pair" if note.get("pair") else None
    return Data(path="-", text="text", pair=pair, label="-", max_length=note["max_length"])


def _answers(
    model: Any, task: tasks.Task, tokenizer: Any, examples: Sequence[Example], device: torch.device
) -> Sequence[Any] | torch.Tensor:
    order, found = by_length(examples), []
    for rows in chunks(order, ROWS_AT_ONCE):
        batch = task.collate([examples[row] for row in rows], tokenizer).to(device)
        logits = models.HEADS[task.head].logits(model(**batch.inputs)).float()
        found.append(task.answers(model, batch, logits))
    return joined(found, order)  # type: ignore[no-any-return]
