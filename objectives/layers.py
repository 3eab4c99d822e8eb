"""A model cut along its depth: what feeds the blocks, the blocks, the head; and which of these learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from objectives.errors import ModelError


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps its parts, as paths below the model without its head.

    `stem` is all that reads the input before the first block, or that all blocks share: embeddings, their projection,
    tables of relative positions. A path that a model's configuration leaves out is skipped. `shared` are the parts of
    the stem that later blocks read, too; `paired` blocks return their states as the first of two; with `final_norm`
    every token's state passes a norm of the head before it is pooled.
    """

    stem: tuple[str, ...] = ("embeddings",)
    blocks: str = "encoder.layer"
    shared: tuple[str, ...] = ()
    paired: bool = False
    final_norm: bool = False


# DeBERTa's convolution joins the embeddings to the first block's output, so it is frozen with the two of them.
_DEBERTA_SHARED = ("encoder.rel_embeddings", "encoder.LayerNorm")
_DEBERTA = Family(stem=("embeddings", *_DEBERTA_SHARED, "encoder.conv"), shared=_DEBERTA_SHARED, paired=True)
_MPNET_SHARED = ("encoder.relative_attention_bias",)

FAMILIES = {
    "albert": Family(("embeddings", "encoder.embedding_hidden_mapping_in"), "encoder.albert_layer_groups"),
    "bert": Family(),
    "camembert": Family(),
    "deberta": _DEBERTA,
    "deberta-v2": _DEBERTA,
    "distilbert": Family(blocks="transformer.layer"),
    "electra": Family(("embeddings", "embeddings_project")),
    "modernbert": Family(blocks="layers", final_norm=True),
    "mpnet": Family(("embeddings", *_MPNET_SHARED), shared=_MPNET_SHARED, paired=True),
    "roberta": Family(),
    "xlm-roberta": Family(),
}


@dataclass(frozen=True)
class Prefix:
    """What stands before the head: `stem`, then `blocks` in order of depth; shared blocks appear once for each use.

    What follows the last block belongs to the head: poolers, final norms, classifiers.
    """

    stem: tuple[nn.Module, ...]
    blocks: tuple[nn.Module, ...]


def prefix(model: Any) -> Prefix:
    """The parts of a transformers model before its head; raises ModelError for a family not in FAMILIES."""
    family = FAMILIES.get(model.config.model_type)
    if family is None:
        known = f"known are {', '.join(FAMILIES)}"
        raise ModelError(f"model.frozen_layers: the layers of {model.config.model_type} are not known; {known}")
    found = (at(model.base_model, path) for path in family.stem)
    blocks = tuple(at(model.base_model, family.blocks))
    depth = model.config.num_hidden_layers
    return Prefix(tuple(part for part in found if part is not None), tuple(_repeated(blocks, depth)))


def freeze(model: Any, frozen_layers: int) -> None:
    """Stop the first layers of a model from learning.

    0 freezes nothing; k >= 1 freezes the stem and the first k blocks; the number of blocks leaves only the head. Raises
    ModelError for more blocks than there are, for a frozen block that shares its weights with one that learns, and
    where nothing is left to learn.
    """
    if frozen_layers:
        parts = prefix(model)
        _check_depth(parts.blocks, frozen_layers)
        for part in (*parts.stem, *parts.blocks[:frozen_layers]):
            part.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("model.frozen_layers: nothing is left to learn; freeze fewer layers")


def train_mode(model: Any, frozen_dropout: bool = False) -> None:
    """Switch a model to training, its frozen parts to evaluation, whose dropout would only add noise.

    With `frozen_dropout` these drop, too.
    """
    model.train()
    if frozen_dropout or all(parameter.requires_grad for parameter in model.parameters()):
        return
    parts = prefix(model)
    for part in (*parts.stem, *parts.blocks):
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def total_parameters(model: nn.Module) -> int:
    """How many numbers there are."""
    return sum(parameter.numel() for parameter in model.parameters())


def at(model: nn.Module, path: str) -> Any:
    """The part of a model at a dotted path; None where there is none."""
    part: Any = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return part


def _repeated(groups: Sequence[nn.Module], depth: int) -> Iterator[nn.Module]:
    """The group used at each depth; where nothing is shared, each of them once (ALBERT: arXiv 1909.11942)."""
    return (groups[index * len(groups) // depth] for index in range(depth))


def _check_depth(blocks: Sequence[nn.Module], frozen_layers: int) -> None:
    if frozen_layers > len(blocks):
        raise ModelError(f"model.frozen_layers: {frozen_layers} is more than the model's {len(blocks)} blocks")
    learning = {id(block) for block in blocks[frozen_layers:]}
    if any(id(block) in learning for block in blocks[:frozen_layers]):
        raise ModelError(
            f"model.frozen_layers: the model's {len(blocks)} blocks share their weights and cannot be frozen at "
            f"{frozen_layers}; right is 0 or {len(blocks)}"
        )
