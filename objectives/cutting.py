"""A model's states after its first blocks: read on the way, or given in these blocks' place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from objectives.layers import Family, at, encoder, family, prefix
from objectives.models import DECODERS


def can_be_given(model: Any, depth: int) -> bool:
    """Whether a model can go on from the states after its first `depth` blocks."""
    blocks = prefix(model).blocks
    conv = at(encoder(model).base_model, "encoder.conv")  # DeBERTa's follows the first block, not to be the last
    if not 0 < depth <= len(blocks) or (conv is not None and len(blocks) == 1):
        return False
    later = {id(block) for block in blocks[depth:]}
    return not any(id(block) in later for block in blocks[:depth])


def pooled_alike(model: Any, pooling: str | None, depth: int) -> str | None:
    """The pooling, a key of POOLINGS or the family's, that the head does first to the states after `depth` blocks.

    None where other work comes before it, blocks, a decoder or a norm of each token, or where it does not pool:
    `pooling` is None, of a model that reads texts.
    """
    of = family(model)
    if depth < len(prefix(model).blocks) or of.decoder is not None:
        return None
    if pooling is None:
        return of.pooled
    if pooling == "head" and model.config.model_type in DECODERS:  # the last token that is no padding
        return None
    if pooling == "head":
        pooling = getattr(model.config, "classifier_pooling", "cls")
    return pooling if pooling == "cls" or not of.final_norm else None


@contextmanager
def watched(model: Any, depths: Collection[int]) -> Iterator[Callable[[Mapping[str, Tensor]], dict[int, Tensor]]]:
    """Within the block, what gives a model's states after so many blocks for its inputs, each [rows, tokens, size], of
    images [rows, channels, height, width] where the model has no tokens.

    What comes after the deepest is passed over: no block, and no head, which may want other widths or have a large
    vocabulary, unless blocks are used again.
    """
    found: dict[int, Tensor] = {}
    inner, deepest = encoder(model), max(depths)
    blocks = prefix(inner).blocks

    def look(inputs: Mapping[str, Tensor]) -> dict[int, Tensor]:
        found.clear()
        with suppress(_Enough):
            model(**inputs)
        return dict(found)

    with ExitStack() as stack:
        stack.callback(_put_back, inner, list(at(inner.base_model, family(inner).blocks)))
        _pass_over(inner, blocks[deepest:])
        for depth in depths:
            if depth < len(blocks):
                first, *_ = _members(prefix(inner).blocks[depth])
                hook = first.register_forward_pre_hook(partial(_note_before, found, depth))
            else:
                *_, last = _members(blocks[-1])
                hook = last.register_forward_hook(partial(_note_after, found, depth))
            stack.callback(hook.remove)
        if len(set(map(id, blocks))) == len(blocks):
            *_, last = _members(prefix(inner).blocks[min(deepest, len(blocks) - 1)])
            stack.callback(last.register_forward_hook(_end).remove)
        yield look


class _Enough(Exception):  # noqa: N818 - no error
    """All that was asked for is there."""


def _end(*_: Any) -> None:
    raise _Enough


def cut(model: Any, depth: int) -> None:
    """Take the stem and the first blocks away, an encoder's where a decoder stands beside it: a pass then wants their
    states as `states`, beside its other inputs, see `handed`."""
    inner, given = encoder(model), _Given()
    of, body = family(inner), inner.base_model
    _pass_over(inner, prefix(inner).blocks[:depth], given)
    first, *others = (path for path in of.stem if path not in of.kept)
    if of.images:  # ViT reads in its stem what numbers it computes in
        at(body, first).forward = given.forward
    else:
        _replace(body, first, given)
    for path in others:
        if at(body, path) is not None:
            _replace(body, path, _Passed())
    model.given = [given]  # in a list: it is no part of the model
    model.register_forward_pre_hook(_take, with_kwargs=True)


def handed(model: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inputs without `states`, which the model, once `cut`, keeps for the passes to come."""
    if "states" in inputs:
        model.given[0].states = inputs["states"]
    return {name: tensor for name, tensor in inputs.items() if name != "states"}


def _take(model: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
    return args, handed(model, inputs)


class _Given(nn.Module):
    """In the place of a stem: the states that were handed to the model."""

    states: Tensor

    def forward(self, *_: Any, **__: Any) -> Tensor:
        return self.states


def _members(block: nn.Module) -> Sequence[nn.Module]:
    """The modules that a block is made of, one after the other: itself, or those of a stage."""
    return [*block] if isinstance(block, nn.ModuleList) else [block]


def _note_before(found: dict[int, Tensor], depth: int, _block: nn.Module, args: tuple[Any, ...]) -> None:
    found.setdefault(depth, args[0])  # a shared block is met again later, with the states of a greater depth


def _note_after(found: dict[int, Tensor], depth: int, _block: nn.Module, _args: Any, states: Any) -> None:
    found[depth] = states[0] if isinstance(states, tuple) else states


class _Passed(nn.Module):
    """In the place of a module whose work is done, or not wanted: hands on what it gets, or what was `given`.

    Blocks that are `paired` return their states as the first of two. In T5 the `table` of the first block's attention
    says for all what places are to each other.
    """

    def __init__(
        self,
        *,
        paired: bool = False,
        attention_type: str | None = None,
        given: _Given | None = None,
        table: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.paired, self.attention_type, self.table = paired, attention_type, table
        self.given = [given]

    def forward(self, hidden: Tensor, _mask: Any = None, bias: Any = None, *_: Any, **__: Any) -> Any:
        (given,) = self.given
        states = hidden if given is None else given.states
        if self.table is not None:
            return states, self._places(states.shape[1]) if bias is None else bias, None
        return (states, None) if self.paired else states

    def _places(self, tokens: int) -> Any:
        return self.table.compute_bias(tokens, tokens)  # type: ignore[union-attr, operator]


def _pass_over(model: Any, gone: Collection[nn.Module], given: _Given | None = None) -> None:
    of: Family = family(model)
    blocks, identities = at(model.base_model, of.blocks), {id(part) for block in gone for part in _members(block)}
    table = at(blocks[0], of.table) if of.table else None
    for index, block in enumerate(blocks):
        if id(block) in identities:
            kind = getattr(block, "attention_type", None)
            blocks[index] = _Passed(paired=of.paired, attention_type=kind, given=given, table=table)


def _put_back(model: Any, blocks: list[nn.Module]) -> None:
    there = at(model.base_model, family(model).blocks)
    for index, block in enumerate(blocks):
        there[index] = block


def _replace(model: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(at(model, parent) if parent else model, name, part)
