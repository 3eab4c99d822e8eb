"""What a model in a folder can take, by its configuration alone; no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from objectives.sources import Source

OFFSET = ("camembert", "mpnet", "roberta", "xlm-roberta")
"""Architectures that count their positions from the padding token's index on."""

_BLOCKS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")
_STAGES = {"convnext": "depths", "efficientnet": "num_block_repeats", "mobilenet_v2": "", "resnet": "depths"}
"""Architectures whose stages are what freezes, and which list of their configuration has one entry for each."""

_DECODER_BLOCKS = ("decoder_layers", "num_decoder_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")


class Limits(NamedTuple):
    """The most tokens a row may have and blocks there are to freeze, and the same of what an encoder-decoder writes and
    of its second side; None where it is not known."""

    tokens: int | None = None
    blocks: int | None = None
    written: int | None = None
    decoder_blocks: int | None = None


def read(source: Source) -> Limits:
    """What the `config.json` of a model's folder says, and that of its decoder; nothing is known of a model that is
    elsewhere."""
    config = _config(source)
    reads, writes = _sides(config)
    if source.decoder is not None:
        writes = _config(source.decoder)
    blocks = _blocks(writes) if writes else _number(config, _DECODER_BLOCKS)
    return Limits(_tokens(reads), _blocks(reads), _tokens(writes), blocks)


def _config(source: Source) -> dict[str, Any]:
    try:
        config = json.loads((Path(source.where) / "config.json").read_bytes())
    except (OSError, ValueError):  # what is wrong with it, transformers will say
        return {}
    return config if isinstance(config, dict) else {}


def _sides(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration of what reads and of what writes, the second empty where one has both."""
    found = [config.get(name) for name in ("encoder", "decoder")]
    nested = config.get("model_type") == "encoder-decoder"
    return [side if isinstance(side, dict) else {} for side in found] if nested else [config, {}]


def _blocks(config: dict[str, Any]) -> int | None:
    listed = _STAGES.get(str(config.get("model_type")))
    if listed is None:
        return _number(config, _BLOCKS)
    stages = config.get(listed)
    return len(stages) if isinstance(stages, list) else None


def _tokens(config: dict[str, Any]) -> int | None:
    positions, padding = _number(config, _POSITIONS), config.get("pad_token_id")
    if config.get("model_type") in OFFSET:
        return positions - padding - 1 if positions and isinstance(padding, int) else None
    relative = config.get("model_type") == "deberta-v2" and config.get("position_biased_input") is not True
    return None if relative else positions


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
