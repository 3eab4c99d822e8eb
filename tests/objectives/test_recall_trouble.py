"""States of frozen blocks where something is amiss: damaged, gone, too large, no gain, or ended on the way."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recalling import numbers, run, snapshot

from objectives import cache as caching
from objectives import digests, models, recall, settings, sources
from objectives.batches import Example
from objectives.cache import Cache
from objectives.evaluation import unheeded

Checkpoint = Callable[[str], Path]
CLASSES = ("mid", "neg", "pos")


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
