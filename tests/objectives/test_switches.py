"""Each piece of a lean step can be switched off, alone and with all others: losses stay, and the piece is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, run

from objectives import gain, lean, products, settings, trial
from objectives.cache import Cache
from objectives.devices import Machine
from objectives.evaluation import Evaluation
from objectives.host import Host
from objectives.switches import PIECES, Piece, pieces

Lesson = Callable[..., settings.Settings]
NEEDS: dict[str, dict[str, Any]] = {
    "quick_dropout": {"model.dropout": 0.1},
    "attention_in_fp32": {"training.precision": "bf16"},
}
WITH_IT: dict[str, set[str]] = {
    "first_token": {"without_keys"},
    "sdpa": {"without_padding", "first_token", "without_keys"},
}


@pytest.fixture
def gained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that gains by oneDNN, also in small layers."""
    monkeypatch.setattr(products, "LEAST", 2)
    monkeypatch.setattr(gain, "products", lambda _folder: 2.0)


def off(*names: Piece, **more: Any) -> Host:
    """One thread of the CPU, without these pieces."""
    return Host("cpu", 1, lean_off=names, **more)


def losses(seen: Collection[Evaluation]) -> list[float]:
    return [one.metrics[name] for one in seen for name in ("train_loss", "val_loss")]


CASES_AND_FAMILIES = [(name, family) for name, case in CASES.items() for family in case.families]


@pytest.mark.parametrize(("name", "family"), CASES_AND_FAMILIES)
def test_without_any_of_them_a_trial_learns_the_same(gained: None, lesson: Lesson, name: str, family: str) -> None:
    mine = settings.replace(lesson(name, family, epochs=1), {"training.optimizer": "sgd"})
    lean_one, _ = run(mine)
    plain, result = run(mine, off(*PIECES))
    assert (result.facts["lean"], result.facts["lean_off"]) == ([], list(PIECES))
    assert losses(plain) == pytest.approx(losses(lean_one), abs=1e-5)


@pytest.mark.skipif(not products.there_are(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("piece", [*lean.PIECES, "sdpa"])
def test_a_piece_is_off_and_no_other(gained: None, lesson: Lesson, piece: Piece) -> None:
    mine = settings.replace(lesson("text-classification", "bert", epochs=1), NEEDS.get(piece, {}))
    _, whole = run(mine)
    _, result = run(mine, off(piece))
    gone = {*whole.facts["lean"]} - {*result.facts["lean"]}
    assert gone == ({piece} & {*lean.PIECES}) | WITH_IT.get(piece, set())
    assert {*result.facts["lean"]} < {*whole.facts["lean"]}
    assert "lean_off" not in whole.facts
    assert result.facts["lean_off"] == result.runtime["lean_off"] == [piece]


def test_attention_is_by_hand_without_sdpa(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *some, **how: seen.append(1) or attend(*some, **how)
    )
    mine = lesson("text-classification", "bert", epochs=1)
    whole, _ = run(mine, off(*lean.PIECES))  # which have attention of their own
    assert seen
    seen.clear()
    found, _ = run(mine, off(*lean.PIECES, "sdpa"))
    assert not seen
    assert losses(found) == pytest.approx(losses(whole), abs=1e-5)


@pytest.mark.parametrize(("optimizer", "flag"), [("adamw", "fused"), ("adam", "fused"), ("sgd", "foreach")])
def test_an_optimizer_steps_one_parameter_after_the_other(lesson: Lesson, optimizer: str, flag: str) -> None:
    mine = settings.replace(lesson("text-classification", "bert", epochs=1), {"training.optimizer": optimizer})
    seen = []
    for host in (off(), off("fused_optimizer")):
        (last,), _ = run(mine, host)
        assert last.snapshot
        groups = last.snapshot().values["optimizer"]["param_groups"]
        assert {group[flag] for group in groups} == {None if host.lean_off else True}
        seen.append(losses([last]))
    assert seen[0] == pytest.approx(seen[1], abs=1e-5)


def test_evaluations_can_be_without_inference_mode(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[bool, bool]] = set()
    forward = torch.nn.LayerNorm.forward

    def noted(self: torch.nn.LayerNorm, states: torch.Tensor) -> torch.Tensor:
        seen.add((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return forward(self, states)

    monkeypatch.setattr(torch.nn.LayerNorm, "forward", noted)
    mine = lesson("text-classification", "bert", epochs=1)
    whole, _ = run(mine)
    assert seen == {(True, False), (False, True)}
    seen.clear()
    found, _ = run(mine, off("inference_mode"))
    assert seen == {(True, False), (False, False)}
    assert losses(found) == losses(whole)


def test_each_step_is_waited_for_without_asynchronous_steps(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Machine, "finish", lambda _machine: seen.append("waited"))
    mine = lesson("text-classification", "bert", epochs=1)
    whole, _ = run(mine)
    assert not seen
    found, _ = run(mine, off("asynchronous_steps"))
    assert len(seen) == 192 // 8
    assert losses(found) == losses(whole)


@pytest.mark.parametrize("before", [(), ("used_embeddings", "fused_optimizer"), PIECES])
@pytest.mark.parametrize("now", [(), ("used_embeddings",), PIECES])
def test_a_trial_goes_on_as_it_began(lesson: Lesson, before: tuple[Piece, ...], now: tuple[Piece, ...]) -> None:
    mine = lesson("text-classification", "bert", epochs=2)
    whole, states = [], []

    def report(evaluation: Evaluation) -> None:
        assert evaluation.snapshot
        whole.append(evaluation)
        states.append(evaluation.snapshot())

    result = trial.run(mine, report, host=off(*before))
    rest, again = run(mine, off(*now), resume=states[0])
    assert losses(rest) == losses(whole[1:])
    assert again.runtime == result.runtime


def test_states_are_kept_whatever_is_off_but_for_what_computes_them(
    gained: None, lesson: Lesson, tmp_path: Path
) -> None:
    mine = lesson("text-classification", "bert", epochs=2, frozen_layers=1)
    cache = Cache(tmp_path / "cache", trials=9)
    built = []
    for names in ((), ("quick_dropout", "first_token", "fused_optimizer"), ("onednn_products",), ("sdpa",)):
        _, result = run(mine, off(*names, cache=cache))
        built.append(result.facts["frozen"]["built"] > 0)
    assert built == [True, False, products.there_are(), True]


def test_names_are_put_in_order_and_others_refused() -> None:
    assert pieces(["sdpa", "first_token", "sdpa"]) == ("first_token", "sdpa")
    assert pieces(["all"]) == pieces([*PIECES, "all"]) == PIECES
    assert pieces([]) == ()
    with pytest.raises(ValueError, match=r"^padding$"):
        pieces(["sdpa", "padding"])
