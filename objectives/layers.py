"""A model cut along its depth: what feeds the blocks, the blocks, the head; and which of these learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, takewhile
from math import ceil
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from objectives.errors import ModelError
from objectives.pairing import KIND
from objectives.settings.model import Depth


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps its parts, as paths below the model without its head.

    `stem` is all that reads the input before the first block, or that all blocks share: embeddings, their projection,
    tables of relative positions. A path that a model's configuration leaves out is skipped. `kept` are the parts of the
    stem that others read, too, or that are added to the first of the rest; `paired` blocks return their states as the
    first of two; with `final_norm` every token's state passes a norm of the head before it is pooled. `decoder` are the
    blocks of an encoder-decoder's second side, fed by `decoder_stem`; of a pair (`encoder-decoder`) each side is a
    model of a family of its own. `noise` are modules outside of these that drop of what a side's stem gives, the
    encoder's first. A family that reads `images` keeps its own number of blocks; where `stages` tells how many follow
    each other at one width, these together count as one. `pooled` is what its head does first to the last block's
    states: `cls` takes the first token, `area` the mean over height and width. `table` is where the first block says
    for all what places are to each other.
    """

    stem: tuple[str, ...] = ("embeddings",)
    blocks: str = "encoder.layer"
    kept: tuple[str, ...] = ()
    paired: bool = False
    final_norm: bool = False
    decoder: str | None = None
    decoder_stem: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    images: bool = False
    pooled: str | None = None
    table: str | None = None
    stages: Callable[[Any], Sequence[int]] | None = None


def _repeats(config: Any) -> list[int]:
    """EfficientNet's blocks by stage (arXiv 1905.11946), as its depth coefficient multiplies them."""
    return [ceil(config.depth_coefficient * count) for count in config.num_block_repeats]


def _mobile(_config: Any) -> tuple[int, ...]:
    """MobileNetV2's blocks by width, the first of them being in its stem (arXiv 1801.04381, table 2)."""
    return (2, 3, 4, 3, 3, 1)


# DeBERTa's convolution joins the embeddings to the first block's output, so it is frozen with the two of them.
_DEBERTA_SHARED = ("encoder.rel_embeddings", "encoder.LayerNorm")
_DEBERTA = Family(stem=("embeddings", *_DEBERTA_SHARED, "encoder.conv"), kept=_DEBERTA_SHARED, paired=True)
_MPNET_SHARED = ("encoder.relative_attention_bias",)

_SIDE = ("embed_positions", "layernorm_embedding")
_BART_KEPT = ("shared", *(f"encoder.{name}" for name in _SIDE))
_BART = Family(
    ("encoder.embed_tokens", *_BART_KEPT),
    "encoder.layers",
    kept=_BART_KEPT,
    decoder="decoder.layers",
    decoder_stem=tuple(f"decoder.{name}" for name in _SIDE),
    noise=("encoder", "decoder"),
)
# The first block of each side has the table of relative positions that the later ones read, too.
_T5_NOISE = ("encoder.dropout", "decoder.dropout")
_T5 = Family(
    ("encoder.embed_tokens", "shared"),
    "encoder.block",
    kept=("shared",),
    decoder="decoder.block",
    noise=_T5_NOISE,
    table="layer.0.SelfAttention",
)
_LLAMA = Family(("embed_tokens",), "layers", final_norm=True)

FAMILIES = {
    "albert": Family(("embeddings", "encoder.embedding_hidden_mapping_in"), "encoder.albert_layer_groups"),
    "bart": _BART,
    "bert": Family(),
    "convnext": Family(blocks="encoder.stages", images=True, pooled="area"),
    "efficientnet": Family(blocks="encoder.blocks", images=True, stages=_repeats),
    "mobilenet_v2": Family(("conv_stem",), "layer", images=True, stages=_mobile),
    "resnet": Family(("embedder",), "encoder.stages", images=True, pooled="area"),
    "vit": Family(blocks="layers", images=True, pooled="cls"),
    "camembert": Family(),
    "deberta": _DEBERTA,
    "deberta-v2": _DEBERTA,
    "distilbert": Family(blocks="transformer.layer"),
    "electra": Family(("embeddings", "embeddings_project")),
    "encoder-decoder": Family((), "encoder", decoder="decoder"),
    "gpt2": Family(("wte", "wpe"), "h", kept=("wpe",), noise=("drop",), final_norm=True),
    "llama": _LLAMA,
    "marian": _BART,
    "mbart": _BART,
    "modernbert": Family(blocks="layers", final_norm=True),
    "mpnet": Family(("embeddings", *_MPNET_SHARED), kept=_MPNET_SHARED, paired=True),
    "qwen2": _LLAMA,
    "roberta": Family(),
    "t5": _T5,
    "xlm-roberta": Family(),
}


@dataclass(frozen=True)
class Prefix:
    """What stands before the head: `stem`, then `blocks` in order of depth; shared blocks appear once for each use.

    What follows the last block belongs to the head: poolers, final norms, classifiers.
    """

    stem: tuple[nn.Module, ...]
    blocks: tuple[nn.Module, ...]


def family(model: Any, asked: str = "model.frozen_layers") -> Family:
    """Where this model keeps its parts; raises ModelError, led by the setting that asks, for one not in FAMILIES."""
    found = FAMILIES.get(model.config.model_type)
    if found is None:
        known = f"known are {', '.join(FAMILIES)}"
        raise ModelError(f"{asked}: the layers of {model.config.model_type} are not known; {known}")
    return found


def _blocks(model: Any, family: Family) -> tuple[nn.Module, ...]:
    """The blocks, or the stages that they form."""
    blocks = tuple(at(model.base_model, family.blocks))
    if family.stages is not None:
        ends = pairwise(accumulate(family.stages(model.config), initial=0))
        return tuple(nn.ModuleList(blocks[start:end]) for start, end in ends)
    return blocks if family.images else tuple(_repeated(blocks, model.config.num_hidden_layers))


def prefix(model: Any, asked: str = "model.frozen_layers") -> Prefix:
    """The parts of a transformers model before its head, of its encoder where it has a decoder beside it.

    Raises ModelError for a family not in FAMILIES, led by the address of the setting that asks.
    """
    model = encoder(model)
    of = family(model, asked)
    return Prefix(_found(model, of.stem), _blocks(model, of))


def encoder(model: Any) -> Any:
    """The model that has these parts: of a pair the one that reads."""
    return model.encoder if model.config.model_type == KIND else model


def decoder(model: Any) -> Prefix | None:
    """The same of its decoder, where it has one beside an encoder, which has the embeddings; raises ModelError."""
    of = family(model)
    if of.decoder is None:
        return None
    if model.config.model_type == KIND:
        return prefix(model.decoder)
    return Prefix(_found(model, of.decoder_stem), tuple(at(model.base_model, of.decoder)))


def sides(model: Any, asked: str = "model.frozen_layers") -> tuple[Prefix, ...]:
    """Its one prefix, or those of an encoder and of the decoder beside it; raises ModelError."""
    return tuple(side for side in (prefix(model, asked), decoder(model)) if side is not None)


def only_side(model: Any, asked: str) -> Prefix:
    """The prefix of a model that has one; raises ModelError where a decoder stands beside an encoder."""
    found = prefix(model, asked)
    if decoder(model) is not None:
        raise ModelError(f"{asked}: {model.config.model_type} has a decoder beside its encoder; it is for one of them")
    return found


def freeze(model: Any, frozen_layers: Depth, frozen_decoder_layers: int = 0) -> None:
    """Stop the first layers of a model from learning.

    0 freezes nothing; k >= 1 freezes the stem and the first k blocks; `all`, or the number of blocks, leaves only the
    head. An encoder-decoder's two sides are frozen each by its own number. Raises ModelError for more blocks than there
    are, for decoder blocks where there is no second side, for a frozen block that shares its weights with one that
    learns, and where nothing but norms is left to learn, as where the head is the frozen embeddings.
    """
    if frozen_layers:
        first = prefix(model)
        _freeze(first, len(first.blocks) if frozen_layers == "all" else frozen_layers, "model.frozen_layers")
    if frozen_decoder_layers:
        side, key = decoder(model), "model.frozen_decoder_layers"
        if side is None:
            raise ModelError(f"{key}: {model.config.model_type} is no encoder-decoder; model.frozen_layers is right")
        _freeze(side, frozen_decoder_layers, key)
    if not any(parameter.requires_grad and parameter.ndim > 1 for parameter in model.parameters()):
        raise ModelError("model.frozen_layers: nothing is left to learn; freeze fewer layers")


def learns(part: nn.Module) -> bool:
    """Whether any number of it does."""
    return any(parameter.requires_grad for parameter in part.parameters())


def frozen_depth(model: Any) -> int:
    """How many of the first blocks do not learn; 0 where the stem before them does."""
    if all(parameter.requires_grad for parameter in model.parameters()):
        return 0
    parts = prefix(model)
    return 0 if any(map(learns, parts.stem)) else len(list(takewhile(lambda block: not learns(block), parts.blocks)))


def train_mode(model: Any, frozen_dropout: bool = False) -> None:
    """Switch a model to training, its frozen parts to evaluation, whose dropout would only add noise.

    With `frozen_dropout` these drop, too; batch norms among them still keep to the means that they were trained with.
    """
    model.train()
    if all(parameter.requires_grad for parameter in model.parameters()):
        return
    parts: list[nn.Module] = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    if not frozen_dropout:
        parts = [part for side in sides(model) for part in (*side.stem, *side.blocks)]
        _quieten(model)
    for part in parts:
        if not learns(part):
            part.eval()


def _quieten(model: Any) -> None:
    """Drop nothing of what a stem gives that does not learn, where its dropout stands outside of it."""
    if model.config.model_type == KIND:
        _quieten(model.encoder)
        _quieten(model.decoder)
        return
    read: list[nn.Module] = []
    for module, side in zip(_found(model, family(model).noise), sides(model), strict=False):
        read += side.stem  # of the decoder's tokens the embeddings are the encoder's
        if not isinstance(module, nn.Dropout):
            module.training = any(map(learns, read))  # its own code drops; its blocks have a flag each
        elif not module._forward_hooks:
            module.register_forward_hook(_where_it_learns)


def _where_it_learns(_module: nn.Module, given: tuple[Tensor], found: Tensor) -> Tensor:
    """T5's is behind the last norm, too, which learns."""
    return found if given[0].requires_grad else given[0]


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def total_parameters(model: nn.Module) -> int:
    """How many numbers there are."""
    return sum(_numbers(parameter) for parameter in model.parameters())


def _numbers(parameter: nn.Parameter) -> int:
    """Of a matrix in 4 bits those that it stands for: it is kept as half as many bytes."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else int(packed.shape.numel())


def at(model: nn.Module, path: str) -> Any:
    """The part of a model at a dotted path; None where there is none."""
    part: Any = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return part


def _repeated(groups: Sequence[nn.Module], depth: int) -> Iterator[nn.Module]:
    """The group used at each depth; where nothing is shared, each of them once (ALBERT: arXiv 1909.11942)."""
    return (groups[index * len(groups) // depth] for index in range(depth))


def _found(model: Any, paths: Sequence[str]) -> tuple[nn.Module, ...]:
    parts = (at(model.base_model, path) for path in paths)
    return tuple(part for part in parts if part is not None)


def _freeze(side: Prefix, depth: int, key: str) -> None:
    _check_depth(side.blocks, depth, key)
    for part in (*side.stem, *side.blocks[:depth]):
        part.requires_grad_(False)


def _check_depth(blocks: Sequence[nn.Module], frozen_layers: int, key: str) -> None:
    if frozen_layers > len(blocks):
        raise ModelError(f"{key}: {frozen_layers} is more than the model's {len(blocks)} blocks")
    learning = {id(block) for block in blocks[frozen_layers:]}
    if any(id(block) in learning for block in blocks[:frozen_layers]):
        raise ModelError(
            f"{key}: the model's {len(blocks)} blocks share their weights and cannot be frozen at "
            f"{frozen_layers}; right is 0 or {len(blocks)}"
        )
