"""Adapters of the package peft: a few new numbers beside weights that do not learn."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from objectives import kinds, models
from objectives.errors import ModelError
from objectives.layers import learns, sides
from objectives.pairing import is_new
from objectives.quantized import MATRICES, plain
from objectives.settings import WRAPPING, Model, Transfer

_TARGETS = {
    "query-value": r"\.(query|value|query_proj|value_proj|q_proj|v_proj|q_lin|v_lin|q|v|Wqkv|in_proj|c_attn)$",
    "attention": r"(attention|attn|Attention)\.",
    "all": "",
}
"""Patterns for the names that matrices have in the families of `layers.FAMILIES`."""


def check(model: Any, settings: Transfer, *, pools: bool) -> None:
    """Raises ModelError where virtual tokens do not go with the rows, the head, which `pools` or not, or the model."""
    chosen, kind = settings.model, settings.task.kind
    if chosen.adapter not in WRAPPING:
        return
    if kinds.KINDS[kind].images:
        seen = f"{chosen.adapter} is virtual tokens beside those of a text, and {kind} reads images"
        raise ModelError(f"model.adapter: {seen}; right is none, or lora where blocks have linear layers, as ViT's")
    if not pools:
        seen = f"{chosen.adapter} is for heads that pool, and {kind} reads every token"
        raise ModelError(f"model.adapter: {seen}; use lora")
    if chosen.adapter == "prompt" and model.config.model_type in models.DECODERS:
        seen = f"prompt gives {model.config.model_type} no tokens to find the last one by, which its head reads"
        raise ModelError(f"model.adapter: {seen}; right is prefix or lora")
    most = models.positions(model.config) - chosen.virtual_tokens
    if settings.data.max_length > most:
        seen = f"{settings.data.max_length} is more than the {most} tokens that {chosen.name} reads"
        raise ModelError(f"data.max_length: {seen} beside {chosen.virtual_tokens} virtual ones; lower it to {most}")


def adapted(model: Any, chosen: Model, seed: int) -> Any:
    """The model with an adapter, drawn by the seed: it learns with the head, all else does not.

    Raises ModelError where the model cannot have it.
    """
    with _quiet():
        torch.manual_seed(seed)
        return _ADAPTERS[chosen.adapter](model, chosen)


def is_wrapped(model: Any) -> bool:
    """Whether an adapter stands around it."""
    return hasattr(model, "prompt_encoder")


@torch.no_grad()
def merged(model: Any) -> Any:
    """The model with its low-rank updates added to the weights beside which they stood, which are plain again.

    Not by peft's own merge, which would round a sum anew where the weights were rounded.
    """
    if not any(hasattr(part, "get_base_layer") for part in model.modules()):
        return model
    from peft.tuners.lora import LoraLayer

    model = plain(model)
    layers: list[tuple[str, Any]] = [one for one in model.named_modules() if isinstance(one[1], LoraLayer)]
    for name, part in layers:
        matrix, update = part.get_base_layer(), part.get_delta_weight("default")
        turned = isinstance(matrix, Conv1D) and not part.fan_in_fan_out  # it was a linear layer while it was rounded
        matrix.weight += update.T if turned else update
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, matrix)
    return model


def parted(model: Any) -> tuple[Any, dict[str, Tensor]]:
    """A model and the virtual tokens that stood around it."""
    from peft.utils import ModulesToSaveWrapper

    inner = model.get_base_model()
    for name, part in [*inner.named_modules()]:
        if isinstance(part, ModulesToSaveWrapper):
            parent, _, last = name.rpartition(".")
            setattr(inner.get_submodule(parent), last, part.modules_to_save["default"])
    return inner, {"virtual_tokens": _embedding(model).weight.detach()}


@torch.no_grad()
def around(model: Any, adapter: str, tensors: Mapping[str, Tensor]) -> Any:
    """A model with virtual tokens, which `parted` gave, around it again."""
    found = tensors["virtual_tokens"]
    wanted = Model.model_validate({"adapter": adapter, "virtual_tokens": len(found)})
    model = adapted(model, wanted, 0)
    _embedding(model).weight.copy_(found)
    return model


def _embedding(model: Any) -> Any:
    return model.prompt_encoder["default"].embedding


def _lora(model: Any, chosen: Model) -> Any:
    """In the matrices of blocks that learn so far; the blocks before the first of these stay as they are."""
    from peft import LoraConfig, inject_adapter_in_model

    names = _targets(model, chosen)
    head = _head(model)
    config = LoraConfig(
        r=chosen.lora.rank,
        lora_alpha=chosen.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=chosen.lora.dropout,
        target_modules=names,
    )
    inject_adapter_in_model(config, model)
    for parameter in head:
        parameter.requires_grad_()
    return model


def _targets(model: Any, settings: Model) -> list[str]:
    wanted, no_decoder = settings.lora.targets, settings.decoder is None  # whose new matrices learn themselves
    found, pattern = sides(model, "model.adapter"), _TARGETS.get(wanted, wanted)
    held = [block for side in found for block in side.blocks if learns(block)]
    inside = {id(part) for block in held for part in block.modules()}
    linear = [name for name, part in model.named_modules() if id(part) in inside and isinstance(part, MATRICES)]
    chosen = [name for name in linear if re.search(pattern, name) and (no_decoder or not is_new(name))]
    if not held:
        raise ModelError("model.frozen_layers: no block is left for adapters; freeze fewer layers")
    if not linear:
        raise ModelError(
            f"model.adapter: lora stands beside linear layers, and the blocks of {model.config.model_type} have none; "
            f"right is none, with model.frozen_layers or model.learn"
        )
    if not chosen:
        raise ModelError(f"model.lora.targets: no matrix is one of {wanted!r}; names are such as {linear[0]}")
    return chosen


def _head(model: Any) -> list[nn.Parameter]:
    """What follows the blocks, as `layers.prefix` has it."""
    found = sides(model, "model.adapter")
    body = {id(one) for side in found for part in (*side.stem, *side.blocks) for one in part.parameters()}
    return [one for one in model.parameters() if id(one) not in body]


def _prefix(model: Any, chosen: Model) -> Any:
    """Keys and values before those of the tokens, in each block (Li and Liang 2021, arXiv 2101.00190)."""
    from peft import PrefixTuningConfig

    if "past_key_values" not in inspect.signature(model.base_model.forward).parameters:
        raise ModelError(
            f"model.adapter: {model.config.model_type} takes no keys and values from before; right is prompt or lora"
        )
    return _wrapped(model, PrefixTuningConfig, chosen, int(model.config.hidden_size))


def _prompt(model: Any, chosen: Model) -> Any:
    """Embeddings before those of the tokens (Lester et al. 2021, arXiv 2104.08691)."""
    from peft import PromptTuningConfig

    return _wrapped(model, PromptTuningConfig, chosen, model.get_input_embeddings().embedding_dim)


def _wrapped(model: Any, kind: Callable[..., Any], chosen: Model, size: int) -> Any:
    from peft import get_peft_model

    head = set(map(id, _head(model)))
    config = kind(
        task_type="SEQ_CLS",
        num_virtual_tokens=chosen.virtual_tokens,
        token_dim=size,
        num_layers=model.config.num_hidden_layers,
        num_attention_heads=model.config.num_attention_heads,
    )
    found = get_peft_model(model, config)
    for name, parameter in found.named_parameters():  # peft keeps a classifier as it was beside the one that learns
        if id(parameter) in head:
            parameter.requires_grad_("original_module" not in name)
    return found


_ADAPTERS: dict[str, Callable[[Any, Model], Any]] = {"lora": _lora, "prefix": _prefix, "prompt": _prompt}


@contextmanager
def _quiet() -> Iterator[None]:
    """peft asks models for names that transformers is about to drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
