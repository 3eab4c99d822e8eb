"""Tiny configurations of every architecture: hidden size 32, 3 blocks (2 in a decoder), a vocabulary of a few words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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

_WIDTHS = {"hidden_sizes": [8, 16, 32], "depths": [1, 2, 1]}

IMAGES: dict[str, tuple[Callable[[], Any], str, dict[str, Any]]] = {
    "convnext": (
        lambda: transformers.ConvNextConfig(
            **_WIDTHS, num_stages=3, patch_size=2, layer_scale_init_value=1.0, initializer_range=0.2
        ),
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": 16}, "crop_pct": 1.0},
    ),
    "efficientnet": (
        lambda: transformers.EfficientNetConfig(width_coefficient=0.025, depth_coefficient=0.3, hidden_dim=32),
        "EfficientNetImageProcessor",
        {"size": {"height": 32, "width": 32}},
    ),
    "mobilenet_v2": (
        lambda: transformers.MobileNetV2Config(depth_multiplier=0.025, finegrained_output=False),
        "MobileNetV2ImageProcessor",
        {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}},
    ),
    "resnet": (
        lambda: transformers.ResNetConfig(**_WIDTHS, embedding_size=8, layer_type="basic"),
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": 16}, "crop_pct": 1.0},
    ),
    "vit": (
        lambda: transformers.ViTConfig(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=64,
            image_size=16,
            patch_size=4,
            initializer_range=0.2,
        ),
        "ViTImageProcessor",
        {"size": {"height": 16, "width": 16}},
    ),
}
"""Families that read images: a configuration, and what tells the processor that goes with it."""

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

_ENDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
_TWO_SIDES: dict[str, Any] = {
    **_ENDS,
    "vocab_size": len(tiny.SPECIAL) + len(WORDS),
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 40,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
    "init_std": 0.1,
}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 2}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "n_inner": 64, "n_positions": 40}

QWEN2 = tiny.qwen2_tokenizer(WORDS)
_QWEN2 = {"vocab_size": len(QWEN2), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 0}

GENERATORS: dict[str, Callable[[], Any]] = {
    "bart": lambda: transformers.BartConfig(**_TWO_SIDES),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=len(tiny.SPECIAL) + len(WORDS), initializer_range=0.1, **_ENDS, **_GPT2
    ),
    "llama": lambda: transformers.LlamaConfig(**{**_SIZES, **_ENDS}, num_key_value_heads=1),
    "marian": lambda: transformers.MarianConfig(**_TWO_SIDES, scale_embedding=True),
    "mbart": lambda: transformers.MBartConfig(**_TWO_SIDES),
    "qwen2": lambda: transformers.Qwen2Config(**{**_SIZES, **_QWEN2}, num_key_value_heads=1, tie_word_embeddings=True),
    "t5": lambda: transformers.T5Config(
        vocab_size=len(tiny.SPECIAL) + len(WORDS), decoder_start_token_id=0, **_ENDS, **_T5
    ),
}
"""Those that write: encoder-decoders, and decoders alone."""


def save(family: str, folder: Path) -> Path:
    """Write a tiny pretrained model of a family, always the same, and what reads its rows; the folder."""
    if family in IMAGES:
        config, processor, settings = IMAGES[family]
        return tiny.save_with_images(folder, config(), processor, **settings)
    tokenizer = QWEN2 if family == "qwen2" else tiny.tokenizer(WORDS)
    return tiny.save(folder, {**CONFIGS, **GENERATORS}[family](), tokenizer)
