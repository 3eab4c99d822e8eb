"""Tiny checkpoints of every architecture, and rows of a few words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cases
import families
import pytest
import recalling
import torch

from objectives import settings
from objectives.cache import Cache


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pretrained model of a family, saved when it is first asked for."""

    @functools.cache
    def save(family: str) -> Path:
        return families.save(family, tmp_path_factory.mktemp("checkpoints") / family)

    return save


@pytest.fixture
def bert(checkpoint: Callable[[str], Path]) -> Path:
    """The folder of a tiny BERT."""
    return checkpoint("bert")


@pytest.fixture
def lesson(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Callable[..., settings.Settings]:
    """The settings of a case's trial with a tiny model of a family."""

    def lesson(name: str, family: str, epochs: int | None = None, **model: Any) -> settings.Settings:
        tree = cases.tree(name, checkpoint(family), tmp_path, epochs)
        dropout = {} if family in ("convnext", "resnet") else {"dropout": 0.0}
        return settings.parse({**tree, "model": {**tree["model"], **dropout, **model}})

    return lesson


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache of frozen states."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def chosen(checkpoint: Callable[[str], Path], rows: Path) -> Callable[..., settings.Transfer]:
    """The settings of a trial of a family that freezes two blocks, with others by address."""
    return lambda family="bert", **values: recalling.settings_of(checkpoint(family), rows, **values)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """Write a file of the test's folder; its path."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of 60 short texts of uneven length, labelled neg, pos or mid by their first word."""
    labels = {"good": "pos", "fine": "pos", "bad": "neg", "poor": "neg", "so": "mid", "very": "mid"}
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"{text},{labels[text.split()[0]]}\n" for text in _texts(labels)))
    return path


def _texts(labels: dict[str, str]) -> Iterator[str]:
    tail = ("the", "film", "was", "song", "and", "book", "nice")
    for number in range(10):
        yield from (" ".join([word, *tail[: (number + len(word)) % 7]]) for word in labels)
