"""Tiny checkpoints of every architecture, and rows of a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from families import CONFIGS, GENERATORS, IMAGES, WORDS

from bench import tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pretrained model of a family, saved when it is first asked for."""

    @cache
    def save(family: str) -> Path:
        if family in IMAGES:
            config, processor, settings = IMAGES[family]
            folder = tmp_path_factory.mktemp("checkpoints") / family
            return tiny.save_with_images(folder, config(), processor, **settings)
        config = {**CONFIGS, **GENERATORS}[family]()
        return tiny.save(tmp_path_factory.mktemp("checkpoints") / family, config, tiny.tokenizer(WORDS))

    return save


@pytest.fixture
def bert(checkpoint: Callable[[str], Path]) -> Path:
    """The folder of a tiny BERT."""
    return checkpoint("bert")


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
