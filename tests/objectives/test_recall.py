"""Frozen blocks computed once: the same results as when each batch runs them, and as in a plain loop."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CONFIGS
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import AutoTokenizer

from objectives import cache as caching
from objectives import data, digests, layers, models, recall, settings, sources, trial
from objectives.batches import Example
from objectives.cache import Cache
from objectives.errors import ModelError
from objectives.evaluation import Evaluation, Result, Snapshot, unheeded
from objectives.host import Host
from objectives.plan import plan

Checkpoint = Callable[[str], Path]
TRAINING = {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "seed": 1, "precision": "fp32"}
CLASSES = ("mid", "neg", "pos")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def chosen(checkpoint: Checkpoint, rows: Path) -> Callable[..., settings.Transfer]:
    def choose(family: str = "bert", **values: Any) -> settings.Transfer:
        parsed = settings.parse(
            {
                "task": "text-classification",
                "model": {"name": str(checkpoint(family)), "dropout": 0.0, "frozen_layers": 2},
                "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
                "training": TRAINING,
            }
        )
        replaced = settings.replace(parsed, values)
        assert isinstance(replaced, settings.Transfer)
        return replaced

    return choose


def run(chosen: settings.Transfer, cache: Cache | None = None, **how: Any) -> tuple[list[Evaluation], Result]:
    evaluations: list[Evaluation] = []
    result = trial.run(chosen, evaluations.append, host=Host("cpu", 1, cache=cache), **how)
    return evaluations, result


def numbers(evaluations: list[Evaluation]) -> list[dict[str, float]]:
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes"}
    return [{name: value for name, value in each.metrics.items() if name not in clocks} for each in evaluations]


def assert_close(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


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

    course = plan(chosen.training, len(splits.train))
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


def test_a_damaged_file_is_made_anew(chosen: Callable[..., settings.Transfer], cache: Cache) -> None:
    expected = numbers(run(chosen(), cache)[0])
    for entry in cache.entries():
        content = entry.path.read_bytes()
        entry.path.write_bytes(content[:-5] + b"wrong")
    evaluations, result = run(chosen(), cache)
    assert result.facts["cached"]
    assert numbers(evaluations) == expected


def test_a_full_disk_costs_the_cache_not_the_trial(
    chosen: Callable[..., settings.Transfer], cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    evaluations, result = run(chosen(), cache)
    assert not result.facts["cached"]
    assert numbers(evaluations) == numbers(run(chosen())[0])
    assert "No space left" in caplog.text
    assert cache.entries() == []


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_building_heeds_before_each_batch(
    chosen: Callable[..., settings.Transfer],
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    monkeypatch.setattr(recall, "BATCH", 4)
    written = list[str]()

    def heed() -> None:
        written.extend(str(path) for path in cache.folder.glob("*.part"))
        if written:
            raise error("ended")

    with pytest.raises(error, match="ended"):
        run(chosen(), cache, heed=heed)
    assert written
    assert cache.entries() == []
    with Cache(cache.folder, patience=0).building("group", unheeded) as alone:
        assert alone


def test_digests_heed_and_are_the_same_in_parts(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, heard = [Example([1, row, 2], 0) for row in range(9)], list[str]()
    whole = digests.tokens(rows)
    monkeypatch.setattr(digests, "SOME", 4)
    assert digests.tokens(rows, lambda: heard.append("rows")) == whole
    assert digests.tokens(rows[:-1]) != whole
    source = sources.find(settings.Model(name=str(checkpoint("bert"))))
    model = models.load(settings.Model(), source, "sequence-classification", CLASSES, 1)
    assert len(digests.weights(model, 2, heed=lambda: heard.append("weights"))) == 3
    assert (heard.count("rows"), heard.count("weights") > 20) == (3, True)


def test_a_cache_that_is_too_small_is_passed_over(
    chosen: Callable[..., settings.Transfer], tmp_path: Path, caplog: Any
) -> None:
    small = Cache(tmp_path / "small", limit=1000)
    assert not run(chosen(), small)[1].facts["cached"]
    assert "MB more are needed" in caplog.text
    bit = Cache(tmp_path / "bit", limit=50_000, depths=(1, 2, 3), trials=4)
    assert run(chosen(), bit)[1].facts["cached"]
    assert sum(entry.size for entry in bit.entries()) < 50_000


def test_a_folder_that_cannot_be_used_is_passed_over(chosen: Callable[..., settings.Transfer], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not run(chosen(), Cache(tmp_path / "file" / "cache"))[1].facts["cached"]


def test_one_pass_over_the_rows_is_not_worth_it(
    chosen: Callable[..., settings.Transfer], cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    short = chosen(**{"training.epochs": 1})
    assert not run(short, cache)[1].facts["cached"]
    assert "without" in caplog.text
    assert run(short, Cache(cache.folder, trials=8))[1].facts["cached"]
    assert run(short, cache)[1].facts["cached"], "what is there is used"


def test_frozen_dropout_runs_frozen_blocks_with_every_batch(
    chosen: Callable[..., settings.Transfer], cache: Cache
) -> None:
    drops = {"model.dropout": 0.5, "model.frozen_dropout": True}
    evaluations, result = run(chosen(**drops), cache)
    assert not result.facts["cached"]
    assert numbers(evaluations) != numbers(run(chosen(**{"model.dropout": 0.5}))[0])
    assert numbers(evaluations) == numbers(run(chosen(**drops))[0])


def snapshot(chosen: settings.Transfer, cache: Cache | None) -> Snapshot:
    """The state after the first evaluation."""
    kept: list[Snapshot] = []

    def report(evaluation: Evaluation) -> None:
        if not kept and evaluation.snapshot:
            kept.append(evaluation.snapshot())

    trial.run(chosen, report, host=Host("cpu", 1, cache=cache))
    return kept[0]


def test_states_that_are_gone_are_computed_again_for_who_continues(
    chosen: Callable[..., settings.Transfer], cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    """Though that would not pay for what is left; without room for them the trial starts over, and says so."""
    mine = chosen(**{"model.dropout": 0.3, "training.epochs": 1, "training.evaluations_per_epoch": 2})
    many, alone = (Cache(cache.folder, depths=(1, 2, 3), trials=trials) for trials in (9, 1))
    assert not run(mine, alone)[1].facts["cached"]
    undisturbed, cached = numbers(run(mine, many)[0]), snapshot(mine, many)
    assert len(cache.clear()) == 6
    evaluations, result = run(mine, alone, resume=cached)
    assert (result.facts["cached"], numbers(evaluations), len(cache.entries())) == (True, undisturbed[1:], 6)
    cache.clear()
    evaluations, result = run(mine, Cache(cache.folder, limit=1000), resume=cached)
    assert (result.facts["cached"], numbers(evaluations)) == (False, numbers(run(mine)[0]))
    assert "MB more are needed" in caplog.text
    assert "cached is False here and was True: starting over" in caplog.text


def test_an_adopter_does_as_the_first_attempt_did(chosen: Callable[..., settings.Transfer], cache: Cache) -> None:
    mine = chosen(**{"model.dropout": 0.3})
    without, within = run(mine)[0], run(mine, cache)[0]
    uncached, cached = snapshot(mine, None), snapshot(mine, cache)
    evaluations, result = run(mine, cache, resume=uncached)
    assert not result.facts["cached"]
    assert numbers(evaluations) == numbers(without[1:])
    evaluations, result = run(mine, Cache(cache.folder.parent / "new"), resume=cached)
    assert result.facts["cached"]
    assert numbers(evaluations) == numbers(within[1:])
    assert numbers(run(mine, None, resume=cached)[0]) == numbers(without), "starts over"


def test_a_snapshot_of_other_versions_is_passed_over(
    chosen: Callable[..., settings.Transfer], caplog: pytest.LogCaptureFixture
) -> None:
    made = snapshot(chosen(), None)
    other = replace(made, facts={**made.facts, "versions": {**made.facts["versions"], "torch": "1.0"}})
    assert numbers(run(chosen(), resume=other)[0]) == numbers(run(chosen())[0])
    assert "'torch': '1.0'" in caplog.text
    assert "starting over" in caplog.text


def test_a_cached_model_holds_no_frozen_blocks(chosen: Callable[..., settings.Transfer], cache: Cache) -> None:
    names = [name for name in snapshot(chosen(), cache).tensors if name.startswith("model.")]
    assert names
    assert not any("embeddings" in name or ".layer.0." in name or ".layer.1." in name for name in names)


def test_reading_what_is_there_heeds(
    chosen: Callable[..., settings.Transfer], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(chosen(), cache)
    caching._digest_at.cache_clear()  # as a process of its own
    reading, digest = list[Any](), caching._digest
    monkeypatch.setattr(caching, "_digest", lambda stream, heed: (reading.append(heed), digest(stream, heed))[1])

    def heed() -> None:
        if reading:
            raise KeyError("ended")

    with pytest.raises(KeyError, match="ended"):
        run(chosen(), cache, heed=heed)
    assert len(reading) == 1, "not the second file"
