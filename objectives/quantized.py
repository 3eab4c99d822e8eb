"""Matrices in 8 or 4 bits, by bitsandbytes: rounded when loaded, and made plain again."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from copy import deepcopy
from importlib.metadata import version
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from objectives.layers import sides

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # lines on how each matrix is rounded; peft imports it, too
MATRICES = (nn.Linear, Conv1D)
"""The classes of plain matrices; those of bitsandbytes are linear layers, too."""
_EIGHT, _FOUR = "is_loaded_in_8bit", "is_loaded_in_4bit"
"""The names under which transformers says, and peft asks, how a model was loaded."""


def how(bits: str, architecture: Any, config: Any, *, allow_code: bool = False) -> dict[str, Any]:
    """What `from_pretrained` is told so that it rounds the matrices of blocks, and no other; nothing for `none`.

    Embeddings, norms and what follows the blocks stay as they are: a head learns. 8 bits are those of Dettmers et al.
    2022 (arXiv 2208.07339), 4 bits nf4 with rounded constants (Dettmers et al. 2023, arXiv 2305.14314). Raises
    ModelError where the model's blocks are not known.
    """
    if bits == "none":
        return {}
    from transformers import BitsAndBytesConfig

    with torch.device("meta"):
        outline = architecture.from_config(deepcopy(config), trust_remote_code=allow_code)
    blocks = (block for side in sides(outline, "model.quantization") for block in side.blocks)
    inside = {id(part) for block in blocks for part in block.modules()}
    every = ((name, part) for name, part in outline.named_modules() if isinstance(part, MATRICES))
    plain = [f"{re.escape(name)}$" for name, part in every if id(part) not in inside]
    chosen = BitsAndBytesConfig(llm_int8_skip_modules=plain, **_KINDS[bits])  # type: ignore[no-untyped-call]
    return {"quantization_config": chosen, "device_map": {"": "cpu"}}


_KINDS: dict[str, dict[str, Any]] = {
    "8bit": {"load_in_8bit": True},
    "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
}


def steadied(model: Any) -> Any:
    """The model, whose 4 bits stay the same bits whatever is computed with them.

    On CPUs with bf16 bitsandbytes repacks a matrix when it is first evaluated with and not when it learns, rounds its
    constants once more each time, and can do so for some widths alone.
    """
    for part in _matrices(model):
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False
    return model


def computing_in(model: Any, dtype: torch.dtype | None) -> None:
    """Let 4 bits be multiplied in these numbers, fp32 for None; 8 bits go by what they are given."""
    for part in _matrices(model):
        if hasattr(part, "compute_dtype"):
            part.compute_dtype, part.compute_type_is_set = dtype or torch.float32, True


def marks(model: Any) -> dict[str, bool]:
    """What peft asks a model, to put adapters beside rounded matrices: for what stands around one."""
    return {name: bool(getattr(model, name, False)) for name in (_EIGHT, _FOUR)}


def is_quantized(model: Any) -> bool:
    """Whether matrices of it are rounded."""
    return any(marks(model).values())


def versions(model: Any) -> dict[str, str]:
    """What a result depends on beside torch and transformers."""
    return {"bitsandbytes": version("bitsandbytes")} if is_quantized(model) else {}


@torch.no_grad()
def plain(model: Any) -> Any:
    """The model with its matrices as they were rounded, in fp32 and of the classes that they had."""
    if not is_quantized(model):
        return model
    body = getattr(model, "body", model)
    turned = [name for name, part in body.named_modules() if getattr(part, "source_cls", None) is Conv1D]
    body.dequantize(torch.float32)
    for name in turned:
        parent, _, last = name.rpartition(".")
        setattr(body.get_submodule(parent), last, _turned(body.get_submodule(name)))
    for one in (model, body):
        vars(one).update(dict.fromkeys((_EIGHT, _FOUR), False))
    return model


def _turned(linear: nn.Linear) -> Any:
    """The same as one of GPT-2's layers, which keep their matrices the other way round."""
    made: Any = Conv1D(linear.out_features, linear.in_features)  # type: ignore[no-untyped-call]
    made.weight.copy_(linear.weight.T)
    made.bias.copy_(linear.bias)
    return made


def _matrices(model: Any) -> Iterator[Any]:
    return (part for part in model.modules() if hasattr(part, "source_cls"))
