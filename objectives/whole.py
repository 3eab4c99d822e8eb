"""A trained model as transformers saves one: whole again, whatever its training left out."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from objectives import images
from objectives.adapters import around, is_wrapped, parted
from objectives.errors import ModelError
from objectives.models import HEADS, quiet
from objectives.pairing import prepared
from objectives.pooling import Pooled
from objectives.settings import Head, Transfer
from objectives.sources import NOTE
from objectives.state import learning

HEAD = "head.safetensors"
"""The weights of a head that is no part of the architecture."""
INSIDE, VIRTUAL = "model", "virtual.safetensors"
"""The folder of a model inside, and the virtual tokens around it."""
INPUTS = ("input_ids", "attention_mask")
"""What a trial gives a model that reads single texts, and so what the saved tokenizer gives it."""


@torch.no_grad()
def restored(fresh: Any, trained: Any) -> Any:
    """The `fresh` model, made by the same settings, with what the `trained` one has learned.

    A training may have cut frozen blocks away, kept a part of the embeddings, and put other computations in the place
    of a block's own; what learns keeps its name in all of these.
    """
    whole = fresh.state_dict()
    for name, tensor in learning(trained):
        part, _, last = name.rpartition(".")
        places = getattr(trained.get_submodule(part), "places", None) if last == "weight" else None
        rows = slice(None) if places is None else (places >= 0).nonzero().squeeze(1).cpu()
        _put(whole[name], rows, tensor)
    return fresh


def _put(whole: Tensor, rows: Any, learned: Tensor) -> None:
    if whole.dim():
        whole[rows] = learned.detach().to("cpu", whole.dtype)
    else:
        whole.copy_(learned)


def write(folder: Path, settings: Transfer, head: str, model: Any, tokenizer: Any) -> None:
    """Write the model, its tokenizer or image processor, and how a row is read into an empty folder; raises OSError.

    A model with its architecture's own head is one that `transformers.pipeline` loads. With another pooling there is no
    class of transformers for the whole: the body is saved without a head, which stands beside it. Nor is there one for
    a model with virtual tokens around it: it is saved inside, the tokens beside it.
    """
    model.cpu().eval()
    try:
        if isinstance(model, Pooled):
            model.body.save_pretrained(folder)
            save_file(model.classifier.state_dict(), folder / HEAD)
        elif is_wrapped(model):
            inner, tokens = parted(model)
            inner.save_pretrained(folder / INSIDE)
            save_file(tokens, folder / VIRTUAL)
        else:
            model.save_pretrained(folder)
    except SafetensorError as error:  # what it says of a disk that is full
        raise OSError(str(error)) from error
    if isinstance(tokenizer, images.Sight):
        tokenizer.processor.save_pretrained(folder)
    else:
        _write_tokenizer(folder, settings, tokenizer)
    note = {
        "task": settings.task.kind,
        "settings": settings.task.model_dump(),
        "head": head,
        "pooling": settings.model.pooling,
        "layers": settings.model.head.model_dump(),
        "around": settings.model.adapter if is_wrapped(model) else None,
        "quantization": settings.model.quantization,
        "max_length": settings.data.max_length,
        "text": settings.data.text,
        "pair": settings.data.pair,
        "label": settings.data.label,
        "clean": settings.data.clean.model_dump(include={"strip_html", "unicode"}),
        "classes": list(model.config.id2label.values()),
    }
    (folder / NOTE).write_text(json.dumps(note, ensure_ascii=False, indent=2) + "\n", "utf-8")


def _write_tokenizer(folder: Path, settings: Transfer, tokenizer: Any) -> None:
    tokenizer = deepcopy(tokenizer)  # other trials of this process read their rows with it
    tokenizer.model_max_length = settings.data.max_length
    if not settings.data.pair:
        tokenizer.model_input_names = list(INPUTS)
    tokenizer.save_pretrained(folder)


def read(folder: Path, note: Any, *, allow_code: bool = False) -> tuple[Any, Any]:
    """The model of a folder that `write` has made, and its tokenizer or `Sight`; raises ModelError."""
    head = HEADS[note.get("head", "sequence-classification")]
    kind = head.architecture if note["pooling"] == "head" else AutoModel
    try:
        with quiet():
            model = kind.from_pretrained(
                folder / INSIDE if note.get("around") else folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=allow_code,
            )
            model = prepared(model)
            reader = AutoImageProcessor if head.images else AutoTokenizer
            tokenizer = reader.from_pretrained(folder, trust_remote_code=allow_code)
        if note["pooling"] != "head":
            model = Pooled(model, note["pooling"], Head(**note.get("layers", {})))
            model.classifier.load_state_dict(load_file(folder / HEAD))
        if note.get("around"):
            model = around(model, note["around"], load_file(folder / VIRTUAL))
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder}: cannot be loaded: {str(error).splitlines()[0]}") from error
    return model.eval(), images.sight(tokenizer) if head.images else tokenizer
