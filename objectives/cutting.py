"""A model's states after its first blocks: read on the way, or given in these blocks' place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
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
    """The pooling, a key of POOLINGS, that the head does first to the states after `depth` blocks.

    None where other work comes before it, blocks or a norm of each token, or where it does not pool: `pooling` is None.
    """
    if pooling is None or depth < len(prefix(model).blocks):
        return None
    if pooling == "head":
        pooling = getattr(model.config, "classifier_pooling", "cls")
    return pooling if pooling == "cls" or not family(model).final_norm else None


@contextmanager
def watched(model: Any, depths: Collection[int]) -> Iterator[dict[int, Tensor]]:
    """Within the block a forward pass leaves the states after so many blocks here, each [rows, tokens, size].

    The blocks after the deepest are passed over. The dict is to be emptied before each pass.
    """
    found: dict[int, Tensor] = {}
    blocks, deepest = prefix(model).blocks, max(depths)
    with ExitStack() as stack:
        stack.callback(_put_back, model, list(at(model.base_model, family(model).blocks)))
        _pass_over(model, blocks[deepest:])
        for depth in depths:
            if depth < len(blocks):
                hook = prefix(model).blocks[depth].register_forward_pre_hook(partial(_note_before, found, depth))
            else:
                hook = blocks[-1].register_forward_hook(partial(_note_after, found, depth))
            stack.callback(hook.remove)
        yield found


def cut(model: Any, depth: int) -> None:
    """Take the stem and the first blocks away: the model then wants their states as `inputs_embeds`."""
    of, body = family(model), model.base_model
    _pass_over(model, prefix(model).blocks[:depth])
    first, *others = (path for path in of.stem if path not in of.shared)
    _replace(body, first, _Given())
    for path in others:
        if at(body, path) is not None:
            _replace(body, path, _Passed(paired=False))


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
    blocks, identities = at(model.base_model, of.blocks), {id(block) for block in gone}
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
