"""Frozen blocks computed once: the same results as when each batch runs them, and as in a plain loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CONFIGS
from recalling import assert_close, numbers, run, snapshot
from support import wait_until
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import AutoTokenizer

from objectives import data, digests, layers, models, recall, settings, sources, worth
from objectives.cache import Cache
from objectives.errors import ModelError
from objectives.evaluation import Heed, unheeded
from objectives.plan import plan

Checkpoint = Callable[[str], Path]
CLASSES = ("mid", "neg", "pos")


def plain_loop(chosen: settings.Transfer) -> Iterator[tuple[float, float]]:
    """Training and validation loss after each epoch, by nothing but transformers' forward and torch."""
    source = sources.find(chosen.model)
    model = models.load(chosen.model, source, "sequence-classification", CLASSES, 1)
    layers.freeze(model, chosen.model.frozen_layers)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [{"params": [p for p in learning if p.ndim > 1]}, {"params": [p for p in learning if p.ndim <= 1]}]
    decayed[1]["weight_decay"] = 0.0
    tokenizer = AutoTokenizer.from_pretrained(source.where)
    splits = data.load(chosen.data, 1)

    def losses(table: data.Table, rows: Any) -> torch.Tensor:
        texts, labels = ([table.column(name)[row] for row in rows] for name in ("text", "label"))
        batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
        return cross_entropy(
            model(**batch).logits, torch.tensor([CLASSES.index(label) for label in labels]), reduction="none"
        )

    course = plan(chosen.training, [1] * len(splits.train))
    optimizer = torch.optim.AdamW(decayed, lr=chosen.training.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / course.steps)
    total = 0.0
    for step in range(course.steps):
        loss = losses(splits.train, course.batches(step)[0])
        loss.mean().backward()
        clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += loss.sum().item()
        if course.evaluates_after(step + 1):
            with torch.no_grad():
                yield total / len(splits.train), losses(splits.valid, range(len(splits.valid))).mean().item()
            total = 0.0


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("family", CONFIGS)
def test_the_same_with_the_cache_as_without(
    chosen: Callable[..., settings.Transfer], cache: Cache, family: str, depth: int
) -> None:
    """With states that are built, and with those found: another pooling finds them, unless they are kept pooled."""
    if family == "albert" and depth < 3:
        with pytest.raises(ModelError):
            run(chosen(family, **{"model.frozen_layers": depth}), cache)
        return
    are_pooled = depth == 3
    for pooling in ("head", "mean"):
        mine = chosen(family, **{"model.frozen_layers": depth, "model.pooling": pooling})
        without, plain = run(mine)
        for _ in range(2 if are_pooled else 1):
            evaluations, result = run(mine, cache)
            assert result.facts["cached"]
            assert result.trainable_parameters == plain.trainable_parameters
            assert result.facts["parameters"] == plain.facts["parameters"]
            assert_close(numbers(evaluations), numbers(without))
            assert [each.details for each in evaluations] == [each.details for each in without]
    assert len(cache.entries()) == (4 if are_pooled else 2)


@pytest.mark.parametrize("depth", [0, 2, 3])
@pytest.mark.parametrize("family", CONFIGS)
def test_the_same_as_a_plain_loop(
    chosen: Callable[..., settings.Transfer], cache: Cache, family: str, depth: int
) -> None:
    mine = chosen(family, **{"model.frozen_layers": 3 if family == "albert" and depth else depth})
    evaluations, _ = run(mine, cache)
    found = [(each.metrics["train_loss"], each.metrics["val_loss"]) for each in evaluations]
    for mine_now, plain_now in zip(found, plain_loop(mine), strict=True):
        assert mine_now == pytest.approx(plain_now, abs=1e-5)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_states_in_bf16_are_those_that_bf16_computes(
    chosen: Callable[..., settings.Transfer], cache: Cache, family: str, depth: int
) -> None:
    mine = chosen(
        family, **{"training.precision": "bf16", "model.frozen_layers": depth, "training.learning_rate": 1e-4}
    )
    without = numbers(run(mine)[0])
    evaluations, result = run(mine, cache)
    assert (result.facts["cached"], result.facts["precision"]) == (True, "bf16")
    for one, other in zip(numbers(evaluations), without, strict=True):
        assert (one["val_loss"], one["train_loss"]) == pytest.approx((other["val_loss"], other["train_loss"]), abs=0.03)
    assert numbers(run(mine, cache)[0]) == numbers(evaluations)


def test_found_states_give_the_same_bits_as_built_ones(
    chosen: Callable[..., settings.Transfer], cache: Cache, tmp_path: Path
) -> None:
    mine = chosen(**{"model.dropout": 0.3})
    built, found = run(mine, cache)[0], run(mine, cache)[0]
    elsewhere = run(mine, Cache(tmp_path / "other", depths=(1, 3), trials=9))[0]
    assert numbers(built) == numbers(found) == numbers(elsewhere)


def test_one_pass_serves_all_depths(chosen: Callable[..., settings.Transfer], cache: Cache) -> None:
    wide = Cache(cache.folder, depths=(1, 2, 3), trials=4)
    run(chosen(), wide)
    kept = {entry.path: entry.path.stat().st_mtime_ns for entry in cache.entries()}
    assert len(kept) == 6
    for depth in (1, 2, 3):
        _, result = run(chosen(**{"model.frozen_layers": depth}), wide)
        assert result.facts["cached"]
    assert {entry.path: entry.path.stat().st_mtime_ns for entry in cache.entries()} == kept


@pytest.fixture
def by_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """States are computed by four rows and kept by eight."""
    monkeypatch.setattr(recall, "BATCH", 4)
    monkeypatch.setattr(worth, "SECTION", 8)


@pytest.mark.usefixtures("by_eight")
def test_states_are_kept_by_sections(
    chosen: Callable[..., settings.Transfer], cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations, _ = run(chosen(), cache)
    splits = data.load(chosen().data, 1)
    assert len(cache.entries()) == math.ceil(len(splits.train) / 8) + math.ceil(len(splits.valid) / 8) > 2
    few = Cache(tmp_path / "few")
    monkeypatch.setattr(worth, "SECTIONS", 1)
    assert numbers(run(chosen(), few)[0]) == numbers(evaluations)
    assert len(few.entries()) == 2


@pytest.mark.usefixtures("by_eight")
def test_workers_compute_the_same_states_together(
    chosen: Callable[..., settings.Transfer], cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker leaves alone what another is at, computes all else, and then waits for it."""
    asked, building = list[str](), Cache.building

    def noted(self: Cache, group: str, heed: Heed) -> AbstractContextManager[bool]:
        asked.append(group)
        return building(self, group, heed)

    monkeypatch.setattr(Cache, "building", noted)
    expected = numbers(run(chosen(), Cache(tmp_path / "alone"))[0])
    sections = [*asked]
    whole = len(Cache(tmp_path / "alone").entries())
    with ThreadPoolExecutor(1) as pool:
        with building(cache, sections[0], unheeded):
            other = pool.submit(run, chosen(), cache)
            wait_until(lambda: len(cache.entries()) == whole - 1 and asked.count(sections[0]) == 3, timeout=60)
            assert not other.done()
        evaluations, result = other.result()
    assert (numbers(evaluations), result.facts["cached"]) == (expected, True)
    assert len(cache.entries()) == whole


@pytest.mark.parametrize(("family", "kept"), [("bert", 4), ("albert", 2)])
def test_depths_that_a_model_has_not_are_left_out(
    chosen: Callable[..., settings.Transfer], cache: Cache, family: str, kept: int
) -> None:
    wide = Cache(cache.folder, depths=(0, 2, 7), trials=4)
    assert run(chosen(family, **{"model.frozen_layers": 3}), wide)[1].facts["cached"]
    assert len(cache.entries()) == kept


OTHERS: list[tuple[str, Any, int]] = [
    ("training.learning_rate", 1e-3, 0),
    ("training.batch_size", 4, 0),
    ("model.dropout", 0.5, 0),
    ("model.pooling", "mean", 0),
    ("training.precision", "bf16", 2),
    ("data.max_length", 5, 2),
    ("training.seed", 2, 2),
]


@pytest.mark.parametrize(("address", "value", "new"), OTHERS)
def test_only_what_changes_the_states_makes_others(
    chosen: Callable[..., settings.Transfer], cache: Cache, address: str, value: Any, new: int
) -> None:
    run(chosen(), cache)
    run(chosen(**{address: value}), cache)
    assert len(cache.entries()) == 2 + new


def test_other_weights_make_other_states(chosen: Callable[..., settings.Transfer], cache: Cache) -> None:
    random = {"model.pretrained": False}
    run(chosen(**random), cache)
    run(chosen(), cache)
    assert len(cache.entries()) == 4
    assert_close(numbers(run(chosen(**random), cache)[0]), numbers(run(chosen(**random))[0]))


def test_weights_are_digested_once_unless_they_are_random_or_others(
    chosen: Callable[..., settings.Transfer], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_known", {})
    depths = []

    def counted(model: Any, deepest: int, heed: Any) -> Iterator[str]:
        depths.append(deepest)
        return plain(model, deepest, heed)

    plain = digests._weights
    monkeypatch.setattr(digests, "_weights", counted)
    for layers_frozen in (2, 1, 2, 3):
        run(chosen(**{"model.frozen_layers": layers_frozen}), cache)
    assert depths == [2, 3]
    random = chosen(**{"model.pretrained": False})
    for seed in (1, 2):
        run(settings.replace(random, {"training.seed": seed}), cache)
    assert depths == [2, 3, 2, 2]


def test_frozen_dropout_runs_frozen_blocks_with_every_batch(
    chosen: Callable[..., settings.Transfer], cache: Cache
) -> None:
    drops = {"model.dropout": 0.5, "model.frozen_dropout": True}
    evaluations, result = run(chosen(**drops), cache)
    assert not result.facts["cached"]
    assert numbers(evaluations) != numbers(run(chosen(**{"model.dropout": 0.5}))[0])
    assert numbers(evaluations) == numbers(run(chosen(**drops))[0])


def test_a_cached_model_holds_no_frozen_blocks(chosen: Callable[..., settings.Transfer], cache: Cache) -> None:
    names = [name for name in snapshot(chosen(), cache).tensors if name.startswith("model.")]
    assert names
    assert not any("embeddings" in name or ".layer.0." in name or ".layer.1." in name for name in names)
