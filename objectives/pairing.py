"""Two models as one: what reads, and beside it what writes, looking at what was read."""

from __future__ import annotations

import inspect
import re
from typing import Any

from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, EncoderDecoderConfig, EncoderDecoderModel

from objectives.errors import ModelError

KIND = "encoder-decoder"
"""How transformers calls the architecture of such a pair."""
_NEW = re.compile(r"cross_?att")


def sides(config: Any) -> tuple[Any, Any]:
    """The configurations of what reads and of what writes, one for both where they are one architecture."""
    return (config.encoder, config.decoder) if config.model_type == KIND else (config, config)


def configuration(reads: Any, writes: Any, tokenizer: Any) -> Any:
    """That of a pair, which begins and ends its texts as its tokenizer does; raises ModelError.

    What writes gets attention to what was read, and sees no token that comes later (Rothe et al. 2020, arXiv
    1907.12461).
    """
    _check(reads, writes)
    writes.is_decoder = writes.add_cross_attention = True
    reads.use_cache = writes.use_cache = False  # as for every model
    config = EncoderDecoderConfig(encoder=reads, decoder=writes)
    ends = tokenizer("")["input_ids"]
    if len(ends) != 2:
        seen = f"an empty text is {len(ends)} tokens, and what writes needs one to begin with and one to end with"
        raise ModelError(f"model.decoder: {seen}; right is a model whose tokenizer has both, such as BERT's")
    config.decoder_start_token_id, config.eos_token_id = ends
    config.pad_token_id = tokenizer.pad_token_id
    return config


def joined(encoder: Any, decoder: Any, config: Any) -> Any:
    """The model of two that are loaded."""
    return EncoderDecoderModel(config=config, encoder=encoder, decoder=decoder).eval()  # type: ignore[no-untyped-call]


def prepared(model: Any) -> Any:
    """The model; a pair makes of labels what its decoder reads, leaves their loss to us, and pools nothing."""
    if model.config.model_type == KIND:
        if hasattr(model.encoder, "pooler"):
            model.encoder.pooler = None
        model.register_forward_pre_hook(_shifted, with_kwargs=True)
    return model


def is_new(name: str) -> bool:
    """Whether a decoder's weight of this name was no part of the model that it was."""
    return _NEW.search(name) is not None


def learn_new(model: Any) -> None:
    """Let all that is new learn: frozen, it would stay as it was drawn."""
    for name, parameter in model.decoder.named_parameters():
        if is_new(name):
            parameter.requires_grad_()


def _check(reads: Any, writes: Any) -> None:
    if reads.is_encoder_decoder:
        raise ModelError(f"model.decoder: {reads.model_type} of model.name has a decoder of its own; remove it")
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(writes), None)
    if kind is None or "encoder_hidden_states" not in inspect.signature(kind.forward).parameters:
        right = "right is one such as bert, camembert, electra, roberta, xlm-roberta"
        raise ModelError(f"model.decoder: {writes.model_type} cannot write beside another model; {right}")


def _shifted(model: nn.Module, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """As the model's own forward would have it, which with labels computes a loss, too, and warns of that."""
    labels = inputs.pop("labels", None)
    if labels is None:
        return args, inputs
    read: Any = model.prepare_decoder_input_ids_from_labels(labels)  # type: ignore[operator]
    mask = (read != model.config.pad_token_id).to(read.dtype)  # type: ignore[union-attr]
    return args, {**inputs, "decoder_input_ids": read, "decoder_attention_mask": mask}
