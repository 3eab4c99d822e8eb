"""Pretrained models: loaded with a new head, and what reads rows for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from transformers.utils import logging

from objectives import hub, images, limits, pairing, quantized, sources
from objectives.attention import in_fp32
from objectives.errors import ModelError, without_login
from objectives.pooling import Pooled
from objectives.ready import needs_code, other_tokens
from objectives.seeds import derive
from objectives.settings import Data, Model
from objectives.sources import Source


@dataclass(frozen=True)
class Head:
    """What a task puts on top of a model: a class of transformers, and what its configuration calls the problem.

    `logits` finds these in what the model returns. With `pools` the tokens become one vector before it; with `images`
    the model reads these.
    """

    architecture: Any
    problem: str | None = None
    pools: bool = False
    images: bool = False
    logits: Callable[[Any], Tensor] = attrgetter("logits")


def _start_and_end(found: Any) -> Tensor:
    """[rows, tokens, 2]"""
    return torch.stack((found.start_logits, found.end_logits), dim=2)


_Sequence = partial(Head, AutoModelForSequenceClassification, pools=True)

HEADS = {
    "sequence-classification": _Sequence(),
    "sequence-regression": _Sequence("regression"),
    "multi-label-classification": _Sequence("multi_label_classification"),
    "token-classification": Head(AutoModelForTokenClassification),
    "question-answering": Head(AutoModelForQuestionAnswering, logits=_start_and_end),
    "seq2seq-lm": Head(AutoModelForSeq2SeqLM),
    "causal-lm": Head(AutoModelForCausalLM),
    "masked-lm": Head(AutoModelForMaskedLM),
    "image-classification": Head(AutoModelForImageClassification, "single_label_classification", images=True),
}
"""By the name that a task gives."""

DECODERS = ("gpt2", "llama", "qwen2")
"""Architectures of one side that reads forwards alone. As published they have no padding, or another than batches."""

DROPOUTS = (
    "activation_dropout",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "classifier_dropout_prob",
    "dropout",
    "dropout_rate",
    "embd_pdrop",
    "embedding_dropout",
    "hidden_dropout_prob",
    "mlp_dropout",
    "pooler_dropout",
    "qa_dropout",
    "resid_pdrop",
    "seq_classif_dropout",
)
"""The names under which architectures keep the dropout of their embeddings, blocks and classification heads."""


def load(model: Model, source: Source, head: str, classes: Sequence[str], seed: int) -> Any:
    """The model with a new head of these classes, in fp32 on the CPU and in evaluation mode.

    The head, and with `pretrained: false` everything, is initialised from the seed alone. Raises ModelError.
    """
    config = configuration(model, source, head, classes)
    torch.manual_seed(derive(seed, "model"))
    with _explained(source), quiet():
        loaded = _pretrained(model, source, head, config) if model.pretrained else _random(model, source, head, config)
    if getattr(loaded, "generation_config", None) is not None:  # made of the configuration where there is no file of it
        loaded.generation_config.use_cache = True
    torch.manual_seed(derive(seed, "head"))
    return _with_pooling(pairing.prepared(loaded), model)


def outline(model: Model, source: Source, head: str, classes: Sequence[str]) -> Any:
    """The model without its weights, which are neither read nor given memory: to see what it is made of."""
    config = configuration(model, source, head, classes)
    with _explained(source), quiet(), torch.device("meta"):
        return _with_pooling(pairing.prepared(_random(model, source, head, config)), model)


def configuration(model: Model, source: Source, head: str, classes: Sequence[str]) -> Any:
    """The architecture, with the classes as its labels and the dropout that the settings ask for."""
    config = _configured(source)
    config.problem_type = HEADS[head].problem
    if classes:
        config.id2label = dict(enumerate(classes))
        config.label2id = {name: index for index, name in enumerate(classes)}
    if HEADS[head].pools and config.model_type in DECODERS:  # whose head reads the last token that is no padding
        config.pad_token_id = _tokenizer(source).pad_token_id
    config.use_cache = False  # of states for the next token, which training has no use for
    if model.dropout is not None:
        _set_dropout(config, model.dropout)
    return config


def reader(source: Source, head: str, data: Data, max_target_length: int = 0) -> Any:
    """What reads rows for a model with this head, a tokenizer or an `images.Sight`; raises ModelError."""
    if HEADS[head].images:
        return _sight(source, data.image_size)
    return tokenizer(source, data.max_length, max_target_length)


def _sight(source: Source, image_size: int | None) -> images.Sight:
    config = _published(source)
    if getattr(config, "num_channels", 3) != 3:
        raise ModelError(f"model.name: {source.full_name} reads images of {config.num_channels} channels; right is 3")
    with _explained(source), quiet():
        made = partial(
            AutoImageProcessor.from_pretrained,
            source.where,
            revision=_revision(source, config),
            trust_remote_code=source.allow_code,
        )
        found = made()
        if image_size is not None:
            found = made(**images.sizes(found, image_size))
    own = config.image_size if config.model_type == "vit" else None  # there is a position for each patch
    if image_size is not None and own not in (None, image_size, [image_size] * 2, (image_size,) * 2):
        seen = f"{image_size}, and {source.full_name} has positions for images of {own}"
        raise ModelError(f"data.image_size: {seen} pixels a side; right is null")
    return images.sight(found)


def tokenizer(source: Source, max_length: int, max_target_length: int = 0) -> Any:
    """The model's tokenizer; raises ModelError, also where the model cannot read so many tokens, or write them."""
    found = _tokenizer(source)
    told = sys.maxsize if source.is_promoted else found.model_max_length  # there it is the training's
    longest, most = (min(told, positions(side)) for side in pairing.sides(_configured(source)))
    if max_length > longest:
        raise ModelError(f"data.max_length: {max_length} is more than the {longest} tokens {source.full_name} reads")
    if max_target_length > most:
        seen = f"{max_target_length} is more than the {most} tokens {(source.decoder or source).full_name} writes"
        raise ModelError(f"task.max_target_length: {seen}")
    return found


def recompute(model: Any) -> None:
    """Keep of each block in a step what it was given alone, and compute the rest once more; raises ModelError."""
    body = model.body if isinstance(model, Pooled) else model
    if not body.supports_gradient_checkpointing:
        kind = model.config.model_type
        raise ModelError(f"training.gradient_checkpointing: {kind} has no such thing in transformers; remove it")
    later = getattr(body, "activation_checkpointing_enable", None)  # its name from transformers 5.20 or so on
    (later or body.gradient_checkpointing_enable)({"use_reentrant": False})


def _configured(source: Source) -> Any:
    """What is published of a model's architecture, or made of it and its decoder's."""
    if source.decoder is None:
        return _published(source)
    with sources.of_decoder():
        writes = _published(source.decoder)
    return pairing.configuration(_published(source), writes, _tokenizer(source))


def _tokenizer(source: Source) -> Any:
    """That of a model, which its decoder must have, too; raises ModelError."""
    config = _published(source)
    with _explained(source), quiet():
        found = AutoTokenizer.from_pretrained(
            source.where, revision=_revision(source, config), trust_remote_code=source.allow_code
        )
    if source.decoder is not None and source.decoder != replace(source, decoder=None):
        with sources.of_decoder():
            other = _tokenizer(source.decoder)
        if found.get_vocab() != other.get_vocab():
            raise other_tokens(source, source.decoder)
    if found.pad_token is None:  # of decoders: masks say what is padding
        found.pad_token = found.eos_token
    return found


def _pretrained(model: Model, source: Source, head: str, config: Any) -> Any:
    if source.decoder is None:
        return _weights(_architecture(model, head), source, config, model.quantization)
    encoder = _weights(AutoModel, source, config.encoder)
    with sources.of_decoder(), _explained(source.decoder):
        decoder = _weights(AutoModelForCausalLM, source.decoder, config.decoder)
    return pairing.joined(encoder, decoder, config)


def _weights(architecture: Any, source: Source, config: Any, bits: str = "none") -> Any:
    loaded, info = architecture.from_pretrained(
        source.where,
        revision=_revision(source, config),
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # of another head; the body is checked below
        output_loading_info=True,
        trust_remote_code=source.allow_code,
        **quantized.how(bits, architecture, config, allow_code=source.allow_code),
    )
    for part in loaded.modules():  # loading makes parameters of Marian's positions, which are sines
        if "Sinusoidal" in type(part).__name__:
            part.requires_grad_(False)
    # transformers fills what a checkpoint lacks with random numbers, which is right for the head alone
    body = "" if loaded.base_model is loaded else f"{loaded.base_model_prefix}."
    absent = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    lost = sorted(key for key in absent if key.startswith(body) and not _may_be_new(key, config))
    if lost:
        raise ModelError(
            f"model.name: the weights of {source.full_name} do not fit its architecture: {len(lost)} are missing or of "
            f"another shape, {lost[0]} first"
        )
    return quantized.steadied(loaded)


def _may_be_new(key: str, config: Any) -> bool:
    """Whether a checkpoint may well lack a weight of the body."""
    return "pooler." in key or (getattr(config, "add_cross_attention", False) and pairing.is_new(key))


def _random(model: Model, source: Source, head: str, config: Any) -> Any:
    architecture = _architecture(model, head)
    return architecture.from_config(config, dtype=torch.float32, trust_remote_code=source.allow_code).eval()


def _architecture(model: Model, head: str) -> Any:
    return HEADS[head].architecture if model.pooling == "head" else AutoModel


def _with_pooling(model: Any, settings: Model) -> Any:
    in_fp32(model)
    return model if settings.pooling == "head" else Pooled(model, settings.pooling, settings.head).eval()


def _published(source: Source) -> Any:
    with _explained(source), quiet():
        return AutoConfig.from_pretrained(
            source.where, revision=source.revision or "main", trust_remote_code=source.allow_code
        )


def _revision(source: Source, config: Any) -> str:
    """A hub model's commit, so that all files are of one; of `main` transformers would have pickles converted."""
    return getattr(config, "_commit_hash", None) or source.revision or "main"


def positions(config: Any) -> int:
    """The tokens for which there are positions; RoBERTa and its kin count theirs from the padding token's index on."""
    if config.model_type == "deberta-v2" and not config.position_biased_input:
        return sys.maxsize
    reserved = config.pad_token_id + 1 if config.model_type in limits.OFFSET else 0
    return int(getattr(config, "max_position_embeddings", sys.maxsize)) - reserved


def _set_dropout(config: Any, dropout: float) -> None:
    if config.model_type == pairing.KIND:
        for side in pairing.sides(config):
            _set_dropout(side, dropout)
        return
    names = [name for name in DROPOUTS if hasattr(config, name)]
    if not names:
        raise ModelError(f"model.dropout: {config.model_type} has no dropout to set; remove the setting")
    for name in names:
        setattr(config, name, dropout)


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    """Say in one line what keeps transformers from a model."""
    try:
        yield
    except (OSError, ValueError, TypeError, ImportError, SafetensorError) as error:
        if "trust_remote_code" in str(error):
            raise needs_code(source) from error
        if reason := hub.explain(error, "model", source.where, source.revision):
            raise ModelError(f"model.name: cannot load {source.full_name}: {reason}") from error
        reason = without_login((str(error).strip() or type(error).__name__).splitlines()[0].rstrip())
        raise ModelError(f"model.name: cannot load {source.full_name}: {reason}{_way_out(source)}") from error


def _way_out(source: Source) -> str:
    """What to do where the hub cannot be reached, for a model that is no folder."""
    if source.is_folder:
        return ""
    download = f"hf download {source.where} --local-dir FOLDER"
    return f" Without a network: {download} on a machine that has one, and give model.name the folder"


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, no note that the head is new: that is what was asked for."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with hub.quiet():
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
