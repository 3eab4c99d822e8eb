"""Pieces of work that are left out: each leaves losses, metrics and what learns as they were."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CONFIGS, WORDS

from bench import tiny
from objectives import byrow, lean, ragged, settings, trial
from objectives.evaluation import Evaluation, Result, Snapshot
from objectives.host import Host
from objectives.switches import PIECES, Piece

Checkpoint = Callable[[str], Path]
TRAINING = {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "seed": 1, "precision": "fp32"}
BOTH: list[Piece] = ["without_padding", "first_token"]
ALL_BERT: list[Piece] = [*BOTH, "without_keys", "used_embeddings"]
NO_KEYS = sorted({*CONFIGS} - {"deberta", "deberta-v2", "modernbert", "mpnet"})
VOCABULARY = (*tiny.SPECIAL, *WORDS)
USED = [index for index, word in enumerate(VOCABULARY) if word not in ("[UNK]", "nice", "sad")]


@pytest.fixture
def chosen(checkpoint: Checkpoint, rows: Path) -> Callable[..., settings.Settings]:
    def choose(family: str = "bert", **values: Any) -> settings.Settings:
        tree = {
            "task": "text-classification",
            "model": {"name": str(checkpoint(family)), "dropout": 0.0},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": TRAINING,
        }
        return settings.replace(settings.parse(tree), values)

    return choose


def run(
    chosen: settings.Settings, off: Collection[Piece] = (), **how: Any
) -> tuple[list[dict[str, float]], list[Snapshot], Result]:
    """The metrics and states after each evaluation."""
    numbers, states = [], []
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes"}

    def report(evaluation: Evaluation) -> None:
        numbers.append({name: value for name, value in evaluation.metrics.items() if name not in clocks})
        assert evaluation.snapshot
        states.append(evaluation.snapshot())

    result = trial.run(chosen, report, host=Host("cpu", 1, lean_off=off), **how)
    return numbers, states, result


def all_but(*names: Piece) -> list[Piece]:
    """The pieces that change what a model computes, without these."""
    return [name for name in lean.PIECES if name not in names]


@pytest.mark.parametrize("frozen", [0, 2])
@pytest.mark.parametrize(("piece", "alike"), [("without_padding", 1), ("without_padding", 16), ("first_token", 1)])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_piece_changes_nothing(
    chosen: Callable[..., settings.Settings],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    piece: Piece,
    alike: int,
    frozen: int,
) -> None:
    monkeypatch.setitem(ragged.ALIKE, "fp32", alike)
    frozen = 3 if family == "albert" and frozen else frozen
    mine = chosen(family, **{"model.frozen_layers": frozen, "training.optimizer": "sgd"})
    plain, states, _ = run(mine, PIECES)
    numbers, others, result = run(mine, all_but(piece))
    assert result.facts["lean"] == [piece]
    for one, other in zip(numbers, plain, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    for one_state, other_state in zip(others, states, strict=True):
        assert one_state.tensors.keys() == other_state.tensors.keys()
        for name, tensor in one_state.tensors.items():
            torch.testing.assert_close(tensor, other_state.tensors[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family", NO_KEYS)
def test_the_first_token_asks_states_as_it_would_ask_keys(
    chosen: Callable[..., settings.Settings], family: str
) -> None:
    mine = chosen(family, **{"training.optimizer": "sgd"})
    plain, states, _ = run(mine, PIECES)
    for pieces in (["first_token", "without_keys"], [*BOTH, "without_keys"]):
        numbers, others, result = run(mine, all_but(*pieces))
        assert result.facts["lean"] == pieces
        for one, other in zip(numbers, plain, strict=True):
            assert one == pytest.approx(other, abs=1e-5)
        whole, other_whole = others[-1].tensors, states[-1].tensors
        assert whole.keys() == other_whole.keys(), "a key's bias is stepped, too, by nothing"
        for name, tensor in whole.items():
            torch.testing.assert_close(tensor, other_whole[name], atol=1e-4, rtol=1e-3, msg=name)


def test_no_key_or_value_is_made_for_the_first_token(
    chosen: Callable[..., settings.Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    forward = torch.nn.Linear.forward

    def noted(self: torch.nn.Linear, states: torch.Tensor) -> torch.Tensor:
        made.append(self.out_features)
        return forward(self, states)

    monkeypatch.setattr(torch.nn.Linear, "forward", noted)
    _, _, result = run(chosen(**{"training.epochs": 1}))
    passes = made.count(len(result.facts["classes"]))
    whole, last, head = 6, 4, 2  # query, key, value, output, wide, narrow
    assert passes > 1
    assert len(made) == passes * (2 * whole + last + head)


def test_it_is_no_piece_where_all_tokens_go_on(chosen: Callable[..., settings.Settings]) -> None:
    assert run(chosen(), all_but("without_keys"))[2].facts["lean"] == []


@pytest.mark.parametrize(("family", "optimizer"), [*((family, "adamw") for family in CONFIGS), ("bert", "sgd")])
def test_embeddings_of_tokens_that_do_not_occur_are_not_learned(
    chosen: Callable[..., settings.Settings], family: str, optimizer: str
) -> None:
    mine = chosen(family, **{"training.optimizer": optimizer, "training.weight_decay": 0.1})
    plain, wholes, before = run(mine, PIECES)
    numbers, others, result = run(mine, all_but("used_embeddings"))
    assert result.facts["lean"] == ["used_embeddings"]
    assert result.trainable_parameters == before.trainable_parameters
    for one, other in zip(numbers, plain, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    whole, some = wholes[-1].tensors, others[-1].tensors
    assert whole.keys() == some.keys()
    (name,) = [name for name in some if name.endswith(("word_embeddings.weight", "tok_embeddings.weight"))]
    assert len(whole[name]) == len(VOCABULARY)
    kept = sorted({*USED, 1}) if family == "mpnet" else USED  # its padding is 1, whatever the tokenizer's is
    torch.testing.assert_close(some[name], whole[name][kept], atol=1e-4, rtol=1e-3)


NOT_LEFT_OUT = [{"model.frozen_layers": 1}, {"training.optimizer": "adafactor"}]


@pytest.mark.parametrize("values", NOT_LEFT_OUT, ids=str)
def test_where_embeddings_do_not_learn_number_by_number_all_stay(
    chosen: Callable[..., settings.Settings], values: dict[str, Any]
) -> None:
    assert "used_embeddings" not in run(chosen(**values))[2].facts["lean"]


@pytest.mark.parametrize("family", CONFIGS)
def test_which_pieces_apply(chosen: Callable[..., settings.Settings], family: str) -> None:
    keyless = ["without_keys"] if family in NO_KEYS else []
    assert run(chosen(family))[2].facts["lean"] == [*BOTH, *keyless, "used_embeddings"]


OTHERS = [
    ({"model.pooling": "mean"}, ["without_padding", "used_embeddings"]),
    ({"model.pooling": "cls"}, ALL_BERT),
    ({"model.frozen_layers": 3}, [*BOTH, "without_keys"]),
]


@pytest.mark.parametrize(("values", "pieces"), OTHERS, ids=str)
def test_a_head_that_reads_all_tokens_gets_them(
    chosen: Callable[..., settings.Settings], values: dict[str, Any], pieces: list[str]
) -> None:
    numbers, _, result = run(chosen(**values))
    assert result.facts["lean"] == pieces
    for one, other in zip(numbers, run(chosen(**values), PIECES)[0], strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize(
    ("family", "precision", "alike"),
    [(family, *how) for family in CONFIGS for how in (("fp32", 1), ("bf16", 32))],
)
def test_padding_is_not_computed(
    chosen: Callable[..., settings.Settings],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    precision: str,
    alike: int,
) -> None:
    """But for what makes the numbers of tokens few different ones."""
    seen: list[tuple[int, int]] = []
    forward = torch.nn.Linear.forward

    def noted(self: torch.nn.Linear, states: torch.Tensor) -> torch.Tensor:
        if self.in_features == 64:  # of each block's narrowing layer
            seen.append((states.shape[0], states.shape[1]))
        return forward(self, states)

    monkeypatch.setattr(torch.nn.Linear, "forward", noted)
    run(chosen(family, **{"training.epochs": 1, "training.precision": precision}))
    first, second, last = seen[:3]
    assert first == second if family != "deberta-v2" else first[0] == 8, "a convolution follows it, which sees padding"
    assert second[0] == 1
    assert 8 < second[1] < 8 * 9, "8 rows of 9 tokens at the most"
    assert second[1] % alike == 0
    assert last == (8, 1), "the first token of each row"


BF16 = [(family, "bf16") for family in ("albert", "bert", "deberta", "deberta-v2", "modernbert", "mpnet")]


@pytest.mark.parametrize(("family", "precision"), [("bert", "fp32"), *BF16])
def test_it_continues_to_the_same_bits(chosen: Callable[..., settings.Settings], family: str, precision: str) -> None:
    mine = chosen(family, **{"model.dropout": 0.3, "training.precision": precision})
    whole, states, _ = run(mine)
    assert run(mine, resume=states[0])[0] == whole[1:]


@pytest.mark.parametrize("family", sorted({*CONFIGS} - {"deberta", "deberta-v2", "mpnet"}))
def test_attention_without_dropout_learns_in_fp32_beside_bf16(
    chosen: Callable[..., settings.Settings],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
) -> None:
    seen: list[tuple[bool, torch.dtype]] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def noted(query: torch.Tensor, *arguments: Any, **how: Any) -> torch.Tensor:
        runs_in = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
        seen.append((torch.is_grad_enabled(), runs_in))
        return attend(query, *arguments, **how)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    mine = {"training.precision": "bf16", "training.epochs": 1}
    numbers, _, result = run(chosen(family, **mine), ["without_keys"])  # which has no keys to attend to
    assert "attention_in_fp32" in result.facts["lean"]
    assert set(seen) == {(True, torch.float32), (False, torch.bfloat16)}
    seen.clear()
    run(chosen(family, **mine, **{"model.dropout": 0.1}), ["without_keys"])
    assert set(seen) == {(True, torch.bfloat16), (False, torch.bfloat16)}
    whole = run(chosen(family, **{"training.epochs": 1}))[0]
    assert numbers[0]["val_loss"] == pytest.approx(whole[0]["val_loss"], abs=0.05)


def test_a_checkpoint_of_other_pieces_is_passed_over(chosen: Callable[..., settings.Settings]) -> None:
    whole, states, _ = run(chosen())
    other = replace(states[0], facts={**states[0].facts, "lean": ["first_token"]})  # as on another device
    assert len(run(chosen(), resume=other)[0]) == len(whole)
    assert len(run(chosen(), resume=states[0])[0]) == len(whole) - 1


def test_rows_of_one_length_are_attended_to_row_by_row_too(
    chosen: Callable[..., settings.Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[tuple[int, ...], float]] = []
    attend = byrow.attend

    def noted(*parts: Any) -> torch.Tensor:
        seen.append((tuple(parts[3]), parts[5]))
        return attend(*parts)

    monkeypatch.setattr(byrow, "attend", noted)
    _, _, result = run(chosen(**{"data.max_length": 4, "model.dropout": 0.1, "training.epochs": 1}))
    assert result.facts["lean"] == [*ALL_BERT, "quick_dropout"]
    assert ((4,) * 8, 0.1) in seen, "of a step"
    assert 0.0 in {dropout for _, dropout in seen}, "of an evaluation"
