"""Tiny pretrained models: random weights from a fixed seed, and a tokenizer that knows a few words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}


def tokenizer(words: Iterable[str]) -> Any:
    """One that reads a text as `[CLS] words [SEP]`; a word that it does not know is `[UNK]`."""
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *words))}
    tokens = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokens.pre_tokenizer = Whitespace()
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    tokens.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **named)


def qwen2_tokenizer(words: Iterable[str]) -> Any:
    """Qwen2's own, which no other class may stand for: of bytes, each word one token, and one with a blank before it.

    It puts nothing before a text.
    """
    found = list(words)
    parts = dict.fromkeys((word[:end], word[end]) for word in found for end in range(1, len(word)))
    merges = [*parts, *(("Ġ", word) for word in found)]
    letters = sorted({letter for word in found for letter in word} | {"Ġ", "Ċ"})
    tokens = ["<|endoftext|>", *letters, *("".join(pair) for pair in merges)]
    return transformers.Qwen2Tokenizer({token: place for place, token in enumerate(tokens)}, merges)


def bert(tokenizer: Any, **sizes: int) -> Any:
    """The configuration of a BERT of three blocks, 32 wide, unless `sizes` say otherwise."""
    return transformers.BertConfig(vocab_size=len(tokenizer), **{**SIZES, **sizes})


def save_with_images(folder: Path, config: Any, processor: str, **settings: Any) -> Path:
    """Write a model of this configuration, always with the same weights, that reads images; the folder."""
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    said = {"image_processor_type": processor, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


def save(folder: Path, config: Any, tokenizer: Any) -> Path:
    """Write a model of this configuration, always with the same weights, and its tokenizer; the folder."""
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
