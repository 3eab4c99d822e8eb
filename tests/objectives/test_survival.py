"""Trials of every kind of task: cut off and continued to the same bits, and in parts where memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, run
from cutoff import cut_after, recorded, tensors
from lessons import same

from objectives import parts, settings, tasks
from objectives.batches import Batch, Example
from objectives.cache import Cache
from objectives.evaluation import Evaluation
from objectives.host import Host

SHORT = {"data.split.train": 64, "training.evaluations_per_epoch": 2}
VARIED = {"image-classification": {"training.augmentation": "flip_crop"}}
"""What of a kind is drawn by chance beside dropout, where that must be asked for."""
FAMILIES = {name: case.families[0] for name, case in CASES.items()}
RANKS = ("auc", "average_precision", "spearman")
"""Metrics that turn where two rows tie by a hair."""
EVEN = ("text-generation", "fill-mask")
"""Cases whose rows are all of one length."""
CLOCKS = {"seconds", "examples_per_second", "peak_memory_bytes"}
OOM = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.fixture
def chosen(lesson: Callable[..., settings.Settings]) -> Callable[..., settings.Settings]:
    """The settings of a short trial of a case: four steps and two evaluations an epoch."""

    def chosen(
        name: str, values: dict[str, Any] | None = None, family: str | None = None, **model: Any
    ) -> settings.Settings:
        made = lesson(name, family or FAMILIES[name], epochs=2, **model)
        assert isinstance(made, settings.Transfer)
        return settings.replace(made, {**SHORT, "training.batch_size": 16, **VARIED.get(name, {}), **(values or {})})

    return chosen


def close(one: Evaluation, other: Evaluation) -> bool:
    """Whether losses and scores are equal but for the last digits."""
    apart = {name: 0.1 if name in RANKS else 1e-5 for name in one.metrics.keys() - CLOCKS}
    assert apart.keys() == other.metrics.keys() - CLOCKS
    return all(other.metrics[name] == pytest.approx(one.metrics[name], abs=apart[name], rel=3e-5) for name in apart)


@pytest.mark.parametrize("frozen", [0, 2])
@pytest.mark.parametrize(
    ("name", "family"),
    [*((name, case.families[0]) for name, case in CASES.items()), ("image-classification", "resnet")],
)
def test_a_trial_that_was_cut_off_ends_as_an_undisturbed_one(
    chosen: Callable[..., settings.Settings], name: str, family: str, frozen: int, tmp_path: Path
) -> None:
    """Whatever is drawn by chance or counted on the way, and where frozen blocks are computed once."""
    dropout = {} if family == "resnet" else {"dropout": 0.3}
    wanted = chosen(name, family=family, frozen_layers=frozen, **dropout)
    host = Host("cpu", 1, cache=Cache(tmp_path / "cache", trials=100))
    whole, result = run(wanted, host)
    assert result.facts["cached"] is (frozen > 0 and CASES[name].cached and name not in VARIED)
    assert len(whole) == 4
    weights = tensors(whole[-1])
    for step in (1, 3):
        seen, snapshot = cut_after(wanted, step, host, tmp_path / str(step))
        torch.rand(5)
        rest, _ = run(wanted, host, resume=snapshot)
        assert recorded([*seen, *rest]) == recorded(whole)
        assert same(tensors(rest[-1]), weights)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Let memory hold so many rows at most of a kind of task; the list of those that were tried."""
    monkeypatch.setattr(parts, "_worked", {})

    def narrow(chosen: settings.Transfer, most: int) -> list[int]:
        tried: list[int] = []
        plain = tasks.of(chosen.task).collate

        def collate(_: Any, examples: Sequence[Example], tokenizer: Any) -> Batch:
            tried.append(len(examples))
            if len(examples) > most:
                raise torch.OutOfMemoryError(OOM)
            return plain(examples, tokenizer)

        monkeypatch.setattr(tasks.TASKS[chosen.task.kind], "collate", collate)
        return tried

    return narrow


def shorten(rows: Path) -> None:
    """Leave two to five words of each row."""
    head, *lines = rows.read_text().splitlines()
    cut = [" ".join(line.split(" ")[: 2 + place % 4]) for place, line in enumerate(lines)]
    rows.write_text("\n".join([head, *cut]) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_in_parts_the_losses_are_the_same(
    chosen: Callable[..., settings.Settings], narrow: Callable[..., list[int]], name: str, tmp_path: Path
) -> None:
    """Means over items, whatever items the rows of a part have."""
    more = {"task.mask_share": 0.5} if name == "fill-mask" else {}
    wanted = chosen(name, {"training.epochs": 1, "training.learning_rate": 1e-3, **more})
    if name.startswith(EVEN):
        shorten(tmp_path / "rows.csv")
    whole, result = run(wanted)
    assert (result.facts["micro_batch"], result.facts["eval_micro_batch"]) == (16, 64)
    tried = narrow(wanted, 3)
    split, result = run(wanted)
    assert (result.facts["micro_batch"], result.facts["eval_micro_batch"]) == (2, 2)
    assert tried[:4] == [16, 8, 4, 2]
    assert len(whole) == 2
    for one, other in zip(whole, split, strict=True):
        assert close(one, other), f"{one.metrics} {other.metrics}"


@pytest.mark.parametrize("name", CASES)
def test_a_loss_that_is_not_finite_is_reported_without_scores(
    chosen: Callable[..., settings.Settings], name: str
) -> None:
    """Whoever runs the trial prunes it then."""
    seen, _ = run(chosen(name, {"training.learning_rate": 1e30, "training.epochs": 1}))
    assert not math.isfinite(seen[-1].metrics["val_loss"])
    assert seen[-1].metrics.keys() - CLOCKS == {"val_loss", "train_loss", "learning_rate"}
