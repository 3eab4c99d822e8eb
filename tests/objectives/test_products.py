"""Layers by oneDNN: the same numbers, where a machine gains by them, and as a trial had them before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CONFIGS
from torch import nn
from torch.nn.functional import linear

from objectives import gain, products, ragged, settings, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation, Result
from objectives.host import Host

pytestmark = pytest.mark.skipif(not products.there_are(), reason="this torch has no oneDNN")

Checkpoint = Callable[[str], Path]


@pytest.fixture
def gained(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have a machine gain so many times by oneDNN, also in small layers."""

    def gained(times: float) -> None:
        monkeypatch.setattr(products, "LEAST", 2)
        monkeypatch.setattr(gain, "products", lambda _folder: times)

    return gained


@pytest.fixture
def chosen(checkpoint: Checkpoint, rows: Path) -> Callable[..., settings.Settings]:
    def choose(family: str = "bert", **values: Any) -> settings.Settings:
        tree = {
            "task": "text-classification",
            "model": {"name": str(checkpoint(family)), "dropout": 0.0},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "seed": 1, "precision": "fp32"},
        }
        return settings.replace(settings.parse(tree), values)

    return choose


def run(chosen: settings.Settings, cache: Cache | None = None, **how: Any) -> tuple[list[Evaluation], Result]:
    seen: list[Evaluation] = []
    return seen, trial.run(chosen, seen.append, host=Host("cpu", 1, cache=cache), **how)


@pytest.mark.parametrize("shape", [(7,), (2, 3), (5, 1, 4)])
@pytest.mark.parametrize("learns", [(True, True, True), (False, True, True), (True, False, False), (True, True, None)])
def test_a_product_is_torchs_forward_and_backward(shape: tuple[int, ...], learns: tuple[bool | None, ...]) -> None:
    sizes = ((*shape, 6), (5, 6), (5,))
    inputs = [
        None if learn is None else torch.randn(size, dtype=torch.float32).requires_grad_(learn)
        for size, learn in zip(sizes, learns, strict=True)
    ]
    answers = [layer(*inputs) for layer in (linear, products.product)]
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-5)
    wanted = [one for one in inputs if one is not None and one.requires_grad]
    for weight in (torch.randn_like(answers[0]), torch.ones(()).expand_as(answers[0])):  # the latter has no strides
        found = [torch.autograd.grad(answer, wanted, weight, retain_graph=True) for answer in answers]
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_states_with_gaps_are_taken_too() -> None:
    states = torch.randn(4, 9, 6)[:, 0].requires_grad_()
    weight = torch.randn(5, 6).requires_grad_()
    found = [torch.autograd.grad(layer(states, weight).sum(), [states, weight]) for layer in (linear, products.product)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_what_is_not_in_fp32_or_has_no_rows_is_torchs() -> None:
    model = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 4))
    assert products.onednn_products(model)
    assert [type(part) is nn.Linear for part in model] == [False, True], "small layers stay"
    assert model(torch.zeros(0, 256)).shape == (0, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.zeros(2, 256)).dtype == torch.bfloat16
    assert model.double()(torch.zeros(2, 256, dtype=torch.float64)).dtype == torch.float64
    assert not products.onednn_products(nn.Sequential(nn.Linear(4, 4)))


@pytest.mark.parametrize("frozen", [0, 1])
@pytest.mark.parametrize("family", CONFIGS)
def test_trials_learn_the_same(
    chosen: Callable[..., settings.Settings], gained: Callable[[float], None], family: str, frozen: int
) -> None:
    mine = chosen(family, **{"training.optimizer": "sgd", "model.frozen_layers": 0 if family == "albert" else frozen})
    gained(1.0)
    plain, before = run(mine)
    gained(2.0)
    found, result = run(mine)
    assert result.facts["lean"] == ["onednn_products", *before.facts["lean"]]
    for one, other in zip(found, plain, strict=True):
        assert one.metrics["val_loss"] == pytest.approx(other.metrics["val_loss"], abs=1e-5)


@pytest.mark.parametrize("family", [family for family in CONFIGS if family != "albert"])
def test_frozen_blocks_are_computed_so_for_the_cache(
    chosen: Callable[..., settings.Settings], gained: Callable[[float], None], tmp_path: Path, family: str
) -> None:
    mine = chosen(family, **{"training.optimizer": "sgd", "model.frozen_layers": 1})
    cache, built, losses = Cache(tmp_path / "cache", trials=9), [], []
    for times in (1.0, 2.0, 2.0):
        gained(times)
        found, result = run(mine, cache)
        assert result.facts["cached"]
        assert ("onednn_products" in result.facts["lean"]) == (times > 1)
        built.append(result.facts["frozen"]["built"] > 0)
        losses.append([one.metrics["val_loss"] for one in found])
    assert built == [True, True, False], "other digits are kept apart"
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[1] == losses[2]


def test_layers_are_torchs_again_after_a_while() -> None:
    model = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 4))
    with products.for_a_while(model):
        assert products.are_in(model)
    assert not products.are_in(model)


@pytest.mark.parametrize(
    ("times", "precision", "used"), [(1.19, "fp32", False), (1.2, "fp32", True), (9, "bf16", False)]
)
def test_a_machine_has_them_where_it_gains(
    chosen: Callable[..., settings.Settings],
    gained: Callable[[float], None],
    times: float,
    precision: str,
    used: bool,
) -> None:
    gained(times)
    _, result = run(chosen(**{"training.precision": precision, "training.epochs": 1}))
    assert ("onednn_products" in result.facts["lean"]) == used


@pytest.mark.parametrize(("before", "now"), [(2.0, 1.0), (1.0, 2.0)])
def test_a_trial_goes_on_as_it_began(
    chosen: Callable[..., settings.Settings], gained: Callable[[float], None], before: float, now: float
) -> None:
    states = []
    gained(before)
    whole = trial.run(chosen(), lambda one: states.append(one.snapshot()), host=Host("cpu", 1))
    gained(now)
    seen, result = run(chosen(), resume=states[0])
    assert len(seen) == len(states) - 1
    assert result.facts["lean"] == whole.facts["lean"]


def test_numbers_of_tokens_are_those_that_onednn_has_met(
    chosen: Callable[..., settings.Settings], gained: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    product = products.product

    def noted(states: torch.Tensor, *others: Any) -> torch.Tensor:
        if states.requires_grad and states.dim() == 3 and states.shape[0] == 1:
            seen.add(states.shape[1])
        return product(states, *others)

    monkeypatch.setattr(products, "product", noted)
    gained(2.0)
    run(chosen(**{"training.epochs": 1}))
    assert seen
    assert {count % ragged.ALIKE["onednn"] for count in seen} == {0}


def test_what_a_machine_gains_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    assert 0 < gain.by_onednn() < 100
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), before)
    gain._kept.cache_clear()
    monkeypatch.setattr(gain, "by_onednn", lambda: 1.5)
    assert gain.products(tmp_path) == 1.5
    gain._kept.cache_clear()  # as another process
    monkeypatch.setattr(gain, "by_onednn", lambda: 0.5)
    assert gain.products(tmp_path) == 1.5
    (key,) = json.loads((tmp_path / gain.FILE).read_text())
    assert key.endswith(f"torch {torch.__version__}, products by oneDNN")
    gain._kept.cache_clear()
    monkeypatch.undo()
    monkeypatch.setattr(gain, "there_are", lambda: False)
    assert gain.products(None) == 0.0
    gain._kept.cache_clear()
