"""Tiny configurations of every architecture: hidden size 32, 3 blocks, a vocabulary of a few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

from bench import tiny

WORDS = ("good", "fine", "nice", "bad", "poor", "sad", "the", "film", "book", "song", "was", "very", "so", "and")

_SIZES: dict[str, Any] = {
    **tiny.SIZES,
    "vocab_size": len(tiny.SPECIAL) + len(WORDS),
    "pad_token_id": 0,
    "initializer_range": 0.2,  # with the usual 0.02 a model this small learns nothing for a while
}
_SMALL_EMBEDDING = {"embedding_size": 16}
_DISTILBERT = {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.2}
_DEBERTA = {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "conv_kernel_size": 3,
    "conv_act": "gelu",
}

CONFIGS: dict[str, Callable[[], Any]] = {
    "albert": lambda: transformers.AlbertConfig(**_SIZES, **_SMALL_EMBEDDING),
    "bert": lambda: transformers.BertConfig(**_SIZES),
    "camembert": lambda: transformers.CamembertConfig(**_SIZES, type_vocab_size=1),
    "deberta": lambda: transformers.DebertaConfig(**_SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "deberta-v2": lambda: transformers.DebertaV2Config(**_SIZES, **_DEBERTA),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=len(tiny.SPECIAL) + len(WORDS), max_position_embeddings=40, pad_token_id=0, **_DISTILBERT
    ),
    "electra": lambda: transformers.ElectraConfig(**_SIZES, **_SMALL_EMBEDDING),
    "modernbert": lambda: transformers.ModernBertConfig(**_SIZES, cls_token_id=2, sep_token_id=3),
    "mpnet": lambda: transformers.MPNetConfig(**_SIZES),
    "roberta": lambda: transformers.RobertaConfig(**_SIZES, type_vocab_size=1),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**_SIZES, type_vocab_size=1),
}
