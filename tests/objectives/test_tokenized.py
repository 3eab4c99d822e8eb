"""Tokens kept between processes: the tokenizer's own, found only where all that they depend on is the same."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from objectives import ready, settings, tokenized, transfer, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation, unheeded
from objectives.host import Host
from objectives.tokenized import Reader

TEXTS = ["good film", "so very bad and sad, \u00fcber", "", "the book was nice " * 20]


@pytest.fixture(autouse=True)
def _few_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenized, "WORTH", 10)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def load(checkpoint: Callable[[str], Path]) -> Callable[[], Any]:
    return lambda: AutoTokenizer.from_pretrained(checkpoint("bert"))


def read(tokenizer: Any, cache: Cache, texts: list[str] = TEXTS, max_length: int = 16) -> list[list[int]]:
    found = Reader(tokenizer, cache)(texts, max_length=max_length)
    return [list(row) for row in found.tokens]


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Reader, "_computed", fail)


def test_what_is_kept_is_what_the_tokenizer_gives(
    load: Callable[[], Any], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load()(TEXTS, truncation=True, max_length=16)["input_ids"]
    used = load()
    assert read(used, cache) == plain
    assert len(cache.entries()) == 1
    forbid(monkeypatch)
    assert read(used, cache) == read(load(), cache) == plain, "whatever the tokenizer was called with before"


def test_other_texts_lengths_and_tokenizers_are_others(load: Callable[[], Any], cache: Cache) -> None:
    other = load()
    other.add_tokens(["film"])
    other.add_tokens(["\u00fcber"])
    left = load()
    left.truncation_side = "left"
    for number, (tokenizer, texts, length) in enumerate(
        [(load(), TEXTS, 16), (load(), TEXTS[1:], 16), (load(), TEXTS, 8), (other, TEXTS, 16), (left, TEXTS, 16)]
    ):
        expected = tokenizer(texts, truncation=True, max_length=length)["input_ids"]
        assert read(tokenizer, cache, texts, length) == expected
        assert len(cache.entries()) == number + 1
    assert read(load(), cache, ["ab", "c" * 20]) == read(load(), cache, ["a", "b" + "c" * 20])
    assert len(cache.entries()) == 7, "where one text ends and the next begins counts"


def test_few_texts_and_no_room_keep_nothing(load: Callable[[], Any], cache: Cache, tmp_path: Path) -> None:
    few = ["good"]
    assert read(load(), cache, few) == load()(few)["input_ids"]
    for limit in (0, 10):
        assert read(load(), Cache(tmp_path / "none", limit)) == read(load(), cache)
    assert len(cache.entries()) == 1
    assert not Cache(tmp_path / "none").entries()


def test_a_damaged_file_or_a_folder_that_is_none_costs_no_more_than_the_time(
    load: Callable[[], Any], cache: Cache, tmp_path: Path
) -> None:
    plain = read(load(), cache)
    (entry,) = cache.entries()
    entry.path.write_bytes(entry.path.read_bytes()[:-4])
    assert read(load(), cache) == plain
    (tmp_path / "file").touch()
    assert read(load(), Cache(tmp_path / "file")) == plain


@pytest.fixture
def chosen(checkpoint: Callable[[str], Path], rows: Path) -> Any:
    return settings.parse(
        {
            "task": "text-classification",
            "model": {"name": str(checkpoint("bert"))},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": {"epochs": 1, "batch_size": 8, "seed": 1},
        }
    )


def test_a_trial_is_the_same_with_kept_tokens(chosen: Any, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(host: Host) -> list[float]:
        found: list[Evaluation] = []
        transfer._encoded.cache_clear()  # as a process of its own
        trial.run(chosen, found.append, host=host)
        return [each.metrics[name] for each in found for name in ("train_loss", "val_loss")]

    plain = losses(Host("cpu", 1))
    assert losses(Host("cpu", 1, cache=cache)) == plain
    assert len(cache.entries()) == 2
    forbid(monkeypatch)
    assert losses(Host("cpu", 1, cache=cache)) == plain


def test_who_waits_for_another_heeds(load: Callable[[], Any], cache: Cache) -> None:
    glances = iter([None, None, KeyError("ended")])

    def heed() -> None:
        if error := next(glances):
            raise error

    reader = Reader(load(), cache, heed)
    with (
        cache.building(reader._name(TEXTS, None, 16), unheeded),
        pytest.raises(KeyError, match="ended"),
    ):
        reader(TEXTS, max_length=16)


def test_a_trial_heeds_while_it_waits_for_tokens_and_remembers_them_without_its_heed(
    chosen: Any, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer._encoded.cache_clear()
    waited: list[str] = []

    def heed() -> None:
        waited.append("heard")

    source = ready.located(chosen.model)
    rows = transfer.read(chosen, source, cache, heed)
    heard = len(waited)
    assert heard >= 2, "both splits"
    assert transfer.read(chosen, source, cache) is rows, "whoever asks"
    assert transfer.read(chosen, source, cache, heed) is rows
    assert len(waited) == heard
    assert not [one for one in gc.get_referrers(heed) if isinstance(one, dict) and one.get("heed") is heed]


def test_who_reads_what_is_kept_heeds(load: Callable[[], Any], cache: Cache) -> None:
    read(load(), cache)
    (entry,) = cache.entries()
    os.utime(entry.path, (0, 0))  # so that its digest is taken again
    heard: list[None] = []
    Reader(load(), cache, lambda: heard.append(None))(TEXTS, max_length=16)
    assert len(heard) == 2, "for the lock, and for the file"
