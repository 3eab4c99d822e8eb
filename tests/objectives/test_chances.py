"""Masks of dropout: as many zeros as they should have, each on its own, and the same from the same seed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from objectives.chances import mask, quick_dropout

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_a_mask_has_its_share_of_zeros_each_on_its_own(chance: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    drawn = mask((500, 401), chance, dtype)
    assert drawn.shape == (500, 401)
    assert drawn.dtype == dtype
    kept = drawn != 0
    assert (drawn[kept] == torch.tensor(1 / (1 - chance), dtype=dtype)).all()
    deviation = (chance * (1 - chance) / kept.numel()) ** 0.5
    assert kept.double().mean().item() == pytest.approx(1 - chance, abs=5 * deviation)
    both = (kept[:, 1:] & kept[:, :-1]).double().mean().item()
    assert both == pytest.approx((1 - chance) ** 2, abs=10 * deviation)


def test_the_next_mask_is_another_and_a_seed_brings_it_back() -> None:
    def draw() -> list[torch.Tensor]:
        torch.manual_seed(3)
        return [mask((100,), 0.5, torch.float32) for _ in range(2)]

    (first, second), (again, _) = draw(), draw()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_layer_drops_in_training_alone_and_its_gradients_with_it() -> None:
    model = nn.Sequential(nn.Dropout(0.25))
    assert quick_dropout(model, CPU)
    states = torch.ones(1000, requires_grad=True)
    torch.manual_seed(0)
    found = model(states)
    found.sum().backward()
    torch.manual_seed(0)
    assert torch.equal(found, mask((1000,), 0.25, torch.float32))
    assert states.grad is not None
    assert torch.equal(states.grad, found)
    assert torch.equal(model.eval()(states), states)


def test_what_never_drops_or_is_elsewhere_stays_torchs_own() -> None:
    for chance, device in ((0.0, CPU), (1.0, CPU), (0.5, torch.device("cuda"))):
        model = nn.Sequential(nn.Dropout(chance))
        assert not quick_dropout(model, device)
        assert type(model[0]) is nn.Dropout


def test_numbers_of_another_width_are_dropped_by_torch() -> None:
    model = nn.Sequential(nn.Dropout(0.5))
    quick_dropout(model, CPU)
    assert model(torch.ones(9, dtype=torch.float64)).dtype == torch.float64
