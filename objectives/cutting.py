"""A model's states after its first blocks: read on the way, or given in these blocks' place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from objectives.layers import Family, at, family, prefix


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
    if pooling == "head":
        pooling = getattr(model.config, "classifier_pooling", "cls")
    return pooling if pooling == "cls" or not family(model).final_norm else None


@contextmanager
def watched(model: Any, depths: Collection[int]) -> Iterator[Callable[[Mapping[str, Tensor]], dict[int, Tensor]]]:
    """Within the block, what gives a model's states after so many blocks for its inputs, each [rows, tokens, size], of
    images [rows, channels, height, width] where the model has no tokens.

    The blocks after the deepest are passed over.
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
        if family(model).images and deepest < len(blocks):  # whose later blocks and head want other widths
            first, *_ = _members(prefix(model).blocks[deepest])
            stack.callback(first.register_forward_hook(_end).remove)
        yield look


class _Enough(Exception):  # noqa: N818 - no error
    """All that was asked for is there."""


def _end(*_: Any) -> None:
    raise _Enough


def cut(model: Any, depth: int) -> None:
    """Take the stem and the first blocks away: the model then wants their states as `inputs_embeds`, or in the place of
    pixels."""
    of, body = family(model), model.base_model
    _pass_over(model, prefix(model).blocks[:depth])
    if of.images:
        at(body, of.stem[0]).forward = _handed_on  # of which ViT reads in what numbers it computes
        return
    first, *others = (path for path in of.stem if path not in of.shared)
    _replace(body, first, _Given())
    for path in others:
        if at(body, path) is not None:
            _replace(body, path, _Passed(paired=False))


def _handed_on(states: Tensor, *_: Any, **__: Any) -> Tensor:
    return states


def _members(block: nn.Module) -> Sequence[nn.Module]:
    """The modules that a block is made of, one after the other: itself, or those of a stage."""
    return [*block] if isinstance(block, nn.ModuleList) else [block]


def _note_before(found: dict[int, Tensor], depth: int, _block: nn.Module, args: tuple[Any, ...]) -> None:
    found.setdefault(depth, args[0])  # a shared block is met again later, with the states of a greater depth


def _note_after(found: dict[int, Tensor], depth: int, _block: nn.Module, _args: Any, states: Any) -> None:
    found[depth] = states[0] if isinstance(states, tuple) else states


class _Given(nn.Module):
    """In the place of embeddings: the states that the model was given."""

    def forward(self, *args: Any, **named: Any) -> Tensor:
        tensors = (value for value in (*args, *named.values()) if isinstance(value, Tensor))
        return next(tensor for tensor in tensors if tensor.is_floating_point())


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
