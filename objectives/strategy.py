"""What of a model learns: blocks, parameters by name, adapters; and which blocks start anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from objectives import adapters
from objectives.errors import ModelError
from objectives.layers import Prefix, freeze, only_side, sides
from objectives.pairing import learn_new
from objectives.seeds import derive
from objectives.settings import Model, blocks


def arranged(model: Any, chosen: Model, seed: int) -> Any:
    """The model of which learns what the settings say, new weights drawn by the seed; the head always learns.

    Raises ModelError where the model lacks what they name, and where nothing is left to learn.
    """
    freeze(model, chosen.frozen_layers, chosen.frozen_decoder_layers)
    if chosen.layers is not None:
        _some_blocks(model, blocks(chosen.layers))
    if chosen.reinit_layers:
        _reinitialise(model, chosen.reinit_layers, seed)
    if chosen.learn != "all":
        _some_parameters(model, chosen.learn)
    found = adapters.adapted(model, chosen, derive(seed, "adapter")) if chosen.adapter != "none" else model
    if chosen.decoder is not None:
        learn_new(found)
    return found


def _some_blocks(model: Any, wanted: set[int]) -> None:
    """Freeze the stem and all blocks but these, counted from 1."""
    parts = only_side(model, "model.layers")
    if max(wanted) > len(parts.blocks):
        raise ModelError(f"model.layers: there is no block {max(wanted)}; the model has {len(parts.blocks)}")
    for part in (*parts.stem, *parts.blocks):
        part.requires_grad_(False)
    for place in wanted:
        parts.blocks[place - 1].requires_grad_()


def _some_parameters(model: Any, learn: str) -> None:
    """Of the stem and the blocks that learn, let only these: biases (Ben Zaken et al. 2022, arXiv 2106.10199), weights
    and biases of norms, or those whose name a pattern finds."""
    chosen, found = _CHOICES.get(learn, _by_name)(model, learn), 0
    for name, parameter in _learning(sides(model, "model.learn"), model):
        parameter.requires_grad_(name in chosen)
        found += name in chosen
    if not found:
        first = next((name for name, _ in model.named_parameters()), "none")
        raise ModelError(f"model.learn: no parameter before the head is one of {learn!r}; names are such as {first}")


def _learning(found: Sequence[Prefix], model: Any) -> list[tuple[str, nn.Parameter]]:
    """The parameters of the stem and the blocks that learn so far, by their names in the model."""
    inside = {id(one) for side in found for part in (*side.stem, *side.blocks) for one in part.parameters()}
    return [(name, one) for name, one in model.named_parameters() if id(one) in inside and one.requires_grad]


def _biases(model: Any, _learn: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.rpartition(".")[2] == "bias"}


def _norms(model: Any, _learn: str) -> set[str]:
    named = ((name, part) for name, part in model.named_modules() if "Norm" in type(part).__name__)
    return {f"{name}.{own}" for name, part in named for own, _ in part.named_parameters(recurse=False)}


def _by_name(model: Any, learn: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if re.search(learn, name)}


_CHOICES: dict[str, Callable[[Any, str], set[str]]] = {"biases": _biases, "norms": _norms}


def _reinitialise(model: Any, count: int, seed: int) -> None:
    """Start the last blocks from random weights, and what stands between them and the classifier, such as a pooler, too
    (Zhang et al. 2021, arXiv 2006.05987)."""
    parts = only_side(model, "model.reinit_layers")
    last = parts.blocks[-count:]
    if count > len(parts.blocks):
        raise ModelError(f"model.reinit_layers: {count} is more than the model's {len(parts.blocks)} blocks")
    if any(not parameter.requires_grad for block in last for parameter in block.parameters()):
        raise ModelError(f"model.reinit_layers: {count} blocks start anew, and some of them do not learn; lower it")
    if {id(block) for block in parts.blocks[:-count]} & set(map(id, last)):
        raise ModelError(
            f"model.reinit_layers: the model's blocks share their weights; right is 0 or {len(parts.blocks)}"
        )
    torch.manual_seed(derive(seed, "reinit"))
    for part in (*dict.fromkeys(last), *_behind(model, parts)):
        part.apply(_initialised(model))


def _behind(model: Any, parts: Prefix) -> Iterator[nn.Module]:
    """The parts of the body that belong to the head."""
    inside = {id(one) for part in (*parts.stem, *parts.blocks) for one in part.parameters()}
    for part in model.base_model.children():
        own = [id(one) for one in part.parameters()]
        if own and not inside.intersection(own):
            yield part


def _initialised(model: Any) -> Callable[[nn.Module], None]:
    def initialise(part: nn.Module) -> None:
        for parameter in part.parameters(recurse=False):
            parameter._is_hf_initialized = False  # type: ignore[attr-defined]  # loaded weights are let alone otherwise
        model.base_model._init_weights(part)

    return initialise
