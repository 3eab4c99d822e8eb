"""Models that write: what learns of each side at each depth, by numbers counted here from the papers' figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import GENERATORS, QWEN2
from torch import Tensor, nn

from objectives import layers, models, sources
from objectives.cutting import can_be_given
from objectives.errors import ModelError
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
WORDS, POSITIONS, HIDDEN, INNER, BUCKETS, HEADS, KEYS = 18, 40, 32, 64, 32, 2, 16
BLOCKS, DECODER_BLOCKS = 3, 2


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


NORM, EMBEDDINGS = 2 * HIDDEN, WORDS * HIDDEN
ATTENTION = 4 * _linear(HIDDEN, HIDDEN) + NORM
FEED_FORWARD = _linear(HIDDEN, INNER) + _linear(INNER, HIDDEN) + NORM
PLAIN = 4 * HIDDEN * HIDDEN + HIDDEN  # T5: no biases, a norm of its size
T5_FEED_FORWARD = 2 * HIDDEN * INNER + HIDDEN
TABLE = BUCKETS * HEADS  # of relative positions, in the first block of each side
BART_POSITIONS = (POSITIONS + 2) * HIDDEN
LLAMA_BLOCK = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KEYS + 3 * HIDDEN * INNER + 2 * HIDDEN

ENCODERS: dict[str, tuple[int, list[int]]] = {
    "bart": (EMBEDDINGS + BART_POSITIONS + NORM, [ATTENTION + FEED_FORWARD] * 3),
    "mbart": (EMBEDDINGS + BART_POSITIONS + NORM, [ATTENTION + FEED_FORWARD] * 3),
    "marian": (EMBEDDINGS, [ATTENTION + FEED_FORWARD] * 3),  # its positions are sines
    "t5": (EMBEDDINGS, [PLAIN + T5_FEED_FORWARD + table for table in (TABLE, 0, 0)]),
    "gpt2": (EMBEDDINGS + POSITIONS * HIDDEN, [ATTENTION + FEED_FORWARD] * 3),
    "llama": (EMBEDDINGS, [LLAMA_BLOCK] * 3),
    "qwen2": (len(QWEN2) * HIDDEN, [LLAMA_BLOCK + HIDDEN + 2 * KEYS] * 3),
}
"""Numbers in what feeds the encoder, or the only side, and in each of its blocks."""

DECODERS: dict[str, tuple[int, list[int]]] = {
    "bart": (BART_POSITIONS + NORM, [2 * ATTENTION + FEED_FORWARD] * 2),
    "mbart": (BART_POSITIONS + NORM, [2 * ATTENTION + FEED_FORWARD] * 2),
    "marian": (0, [2 * ATTENTION + FEED_FORWARD] * 2),
    "t5": (0, [2 * PLAIN + T5_FEED_FORWARD + table for table in (TABLE, 0)]),
}
AFTER = {"mbart": 2 * NORM, "t5": 2 * HIDDEN, "gpt2": NORM, "llama": HIDDEN + EMBEDDINGS, "qwen2": HIDDEN}
"""Final norms, and a head that is not the embeddings."""


def _load(folder: Path, family: str, **settings: Any) -> Any:
    model = Model(name=str(folder), **settings)
    head = "seq2seq-lm" if family in DECODERS else "causal-lm"
    return models.load(model, sources.find(model), head, (), 0)


def _left(side: tuple[int, list[int]], frozen: int) -> int:
    stem, blocks = side
    return sum(blocks[frozen:]) + (0 if frozen else stem)


DEPTHS = [
    (family, first, second)
    for family in GENERATORS
    for first in range(BLOCKS + 1)
    for second in (range(DECODER_BLOCKS + 1) if family in DECODERS else (0,))
]


@pytest.mark.parametrize(("family", "first", "second"), DEPTHS)
def test_each_side_is_frozen_to_its_own_depth(checkpoint: Checkpoint, family: str, first: int, second: int) -> None:
    model = _load(checkpoint(family), family)
    all_blocks = first == BLOCKS and second == (DECODER_BLOCKS if family in DECODERS else 0)
    if all_blocks and family != "llama":  # whose head is no copy of the embeddings
        with pytest.raises(ModelError, match="nothing is left to learn"):
            layers.freeze(model, first, second)
        return
    layers.freeze(model, first, second)
    learning = _left(ENCODERS[family], first) + _left(DECODERS.get(family, (0, [])), second) + AFTER.get(family, 0)
    assert layers.trainable_parameters(model) == learning
    assert [can_be_given(model, depth) for depth in (0, 1, BLOCKS, BLOCKS + 1)] == [False, True, True, False]


@pytest.mark.parametrize("family", DECODERS)
def test_frozen_blocks_of_both_sides_have_no_dropout(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family), family, dropout=0.5)
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} <= {0.5}
    layers.freeze(model, BLOCKS, 1)
    layers.train_mode(model)
    first, second = layers.prefix(model).blocks, layers.decoder(model)
    assert second is not None
    assert [block.training for block in (*first, *second.blocks)] == [False] * 4 + [True]


@pytest.mark.parametrize("family", GENERATORS)
def test_dropout_is_set_everywhere(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family), family, dropout=0.0)
    model.train()
    inputs = {"input_ids": torch.tensor([[2, 4, 5, 3]])}
    if family in DECODERS:
        inputs["labels"] = inputs["input_ids"]
    torch.manual_seed(1)
    first = model(**inputs).logits
    assert torch.equal(first, model(**inputs).logits)


def test_more_decoder_blocks_than_there_are(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match=r"model\.frozen_decoder_layers: 3 is more than the model's 2 blocks"):
        layers.freeze(_load(checkpoint("t5"), "t5"), 0, 3)


def test_decoder_blocks_of_a_model_with_one_side(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match=r"frozen_decoder_layers: gpt2 is no encoder-decoder; model\.frozen_layers is"):
        layers.freeze(_load(checkpoint("gpt2"), "gpt2"), 0, 1)


def _first_inputs(model: Any, frozen_dropout: bool = False) -> list[list[Tensor]]:
    """What the first block of each side is given, in two passes in training mode."""
    found: list[list[Tensor]] = []

    def listen(block: nn.Module, given: list[Tensor]) -> None:
        def hear(_: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            given.append(args[0] if args else named["hidden_states"])

        block.register_forward_pre_hook(hear, with_kwargs=True)

    for side in layers.sides(model):
        found.append([])
        listen(side.blocks[0], found[-1])
    layers.train_mode(model, frozen_dropout)
    inputs = {"input_ids": torch.tensor([[2, 4, 5, 3]])}
    if len(found) == 2:
        inputs["labels"] = inputs["input_ids"]
    for _ in range(2):
        model(**inputs)
    return found


@pytest.mark.parametrize("family", GENERATORS)
def test_nothing_is_dropped_before_frozen_blocks(checkpoint: Checkpoint, family: str) -> None:
    """Wherever an architecture has the dropout of its embeddings."""
    model = _load(checkpoint(family), family, dropout=0.5)
    layers.freeze(model, 1, 1 if family in DECODERS else 0)
    for first, second in _first_inputs(model):
        assert torch.equal(first, second)


@pytest.mark.parametrize("family", [name for name in GENERATORS if name not in ("llama", "qwen2")])
def test_what_learns_and_what_is_asked_for_is_dropped_of(checkpoint: Checkpoint, family: str) -> None:
    frozen = _load(checkpoint(family), family, dropout=0.5)
    layers.freeze(frozen, 1, 1 if family in DECODERS else 0)
    whole = _load(checkpoint(family), family, dropout=0.5)
    first = _load(checkpoint(family), family, dropout=0.5)
    layers.at(first.base_model, layers.family(first).blocks)[0].requires_grad_(False)  # the stem learns
    for model, asked in ((frozen, True), (whole, False), (first, False)):
        for one, other in _first_inputs(model, asked):
            assert not torch.equal(one, other)


def test_the_dropout_behind_t5s_last_norm_stays(checkpoint: Checkpoint) -> None:
    model = _load(checkpoint("t5"), "t5", dropout=0.5)
    layers.freeze(model, BLOCKS, 1)
    layers.train_mode(model)
    states = [model.encoder(input_ids=torch.tensor([[2, 4, 5, 3]])).last_hidden_state for _ in range(2)]
    assert not torch.equal(*states)
