"""A model's states after its first blocks: read on the way, or given in these blocks' place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from objectives.layers import Family, at, family, prefix
from objectives.models import DECODERS


def can_be_given(model: Any, depth: int) -> bool:
    """Whether a model can go on from the states after its first `depth` blocks."""
    if not family(model).given:
        return False
    blocks = prefix(model).blocks
    conv = at(model.base_model, "encoder.conv")  # of DeBERTa: it follows the first block, which must not be the last
    if not 0 < depth <= len(blocks) or (conv is not None and len(blocks) == 1):
        return False
    later = {id(block) for block in blocks[depth:]}
    return not any(id(block) in later for block in blocks[:depth])


def pooled_alike(model: Any, pooling: str | None, depth: int) -> str | None:
    """The pooling, a key of POOLINGS or the family's, that the head does first to the states after `depth` blocks.

    None where other work comes before it, blocks or a norm of each token, or where it does not pool: `pooling` is None,
    of a model that reads texts.
    """
    if depth < len(prefix(model).blocks):
        return None
    if pooling is None:
        return family(model).pooled
    if pooling == "head" and model.config.model_type in DECODERS:  # the last token that is no padding
        return None
    if pooling == "head":
        pooling = getattr(model.config, "classifier_pooling", "cls")
    return pooling if pooling == "cls" or not family(model).final_norm else None


@contextmanager
def watched(model: Any, depths: Collection[int]) -> Iterator[Callable[[Mapping[str, Tensor]], dict[int, Tensor]]]:
    """Within the block, what gives a model's states after so many blocks for its inputs, each [rows, tokens, size], of
    images [rows, channels, height, width] where the model has no tokens.

    What comes after the deepest is passed over: no block, and no head, which may want other widths or have a large
    vocabulary, unless blocks are used again.
    """
    found: dict[int, Tensor] = {}
    blocks, deepest = prefix(model).blocks, max(depths)

    def look(inputs: Mapping[str, Tensor]) -> dict[int, Tensor]:
        found.clear()
        with suppress(_Enough):
            model(**inputs)
        return dict(found)

    with ExitStack() as stack:
        stack.callback(_put_back, model, list(at(model.base_model, family(model).blocks)))
        _pass_over(model, blocks[deepest:])
        for depth in depths:
            if depth < len(blocks):
                first, *_ = _members(prefix(model).blocks[depth])
                hook = first.register_forward_pre_hook(partial(_note_before, found, depth))
            else:
                *_, last = _members(blocks[-1])
                hook = last.register_forward_hook(partial(_note_after, found, depth))
            stack.callback(hook.remove)
        if len(set(map(id, blocks))) == len(blocks):
            *_, last = _members(prefix(model).blocks[min(deepest, len(blocks) - 1)])
            stack.callback(last.register_forward_hook(_end).remove)
        yield look


class _Enough(Exception):  # noqa: N818 - no error
    """All that was asked for is there."""


def _end(*_: Any) -> None:
    raise _Enough


def cut(model: Any, depth: int) -> None:
    """Take the stem and the first blocks away: a pass then wants their states as `states`, beside its other inputs."""
    of, body, given = family(model), model.base_model, _Given()
    _pass_over(model, prefix(model).blocks[:depth])
    model.register_forward_pre_hook(given.take, with_kwargs=True)
    first, *others = (path for path in of.stem if path not in of.shared)
    at(body, first).forward = given.give  # the module stays, since ViT reads in what numbers it computes
    for path in others:
        if at(body, path) is not None:
            _replace(body, path, _Nothing() if path in of.added else _Passed(paired=False))


class _Given:
    """The states that the pass at hand was given, in the place of what a stem would make."""

    states: Tensor

    def take(self, _model: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
        """Keep them from the model, whose other inputs go on."""
        self.states = inputs["states"]
        return args, {name: value for name, value in inputs.items() if name != "states"}

    def give(self, *_: Any, **__: Any) -> Tensor:
        """Whatever the stem is asked for."""
        return self.states


def _members(block: nn.Module) -> Sequence[nn.Module]:
    """The modules that a block is made of, one after the other: itself, or those of a stage."""
    return [*block] if isinstance(block, nn.ModuleList) else [block]


def _note_before(found: dict[int, Tensor], depth: int, _block: nn.Module, args: tuple[Any, ...]) -> None:
    found.setdefault(depth, args[0])  # a shared block is met again later, with the states of a greater depth


def _note_after(found: dict[int, Tensor], depth: int, _block: nn.Module, _args: Any, states: Any) -> None:
    found[depth] = states[0] if isinstance(states, tuple) else states


class _Nothing(nn.Module):
    """In the place of what a stem adds to the states, which are given whole."""

    def forward(self, *_: Any, **__: Any) -> Tensor:
        return torch.zeros(())


class _Passed(nn.Module):
    """In the place of a module whose work is done, or not wanted: hands on what it gets."""

    def __init__(self, paired: bool, attention_type: str | None = None) -> None:
        super().__init__()
        self.paired, self.attention_type = paired, attention_type

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Any:
        return (hidden, None) if self.paired else hidden


def _pass_over(model: Any, gone: Collection[nn.Module]) -> None:
    of: Family = family(model)
    blocks, identities = at(model.base_model, of.blocks), {id(part) for block in gone for part in _members(block)}
    for index, block in enumerate(blocks):
        if id(block) in identities:
            blocks[index] = _Passed(of.paired, getattr(block, "attention_type", None))


def _put_back(model: Any, blocks: list[nn.Module]) -> None:
    there = at(model.base_model, family(model).blocks)
    for index, block in enumerate(blocks):
        there[index] = block


def _replace(model: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(at(model, parent) if parent else model, name, part)
