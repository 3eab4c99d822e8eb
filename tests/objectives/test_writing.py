"""Models that write keep states for the next token while they write, and not while they learn."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cases
import pytest

from objectives import models, settings, sources
from objectives.settings import Model

Checkpoint = Callable[[str], Path]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What transformers says, which it does by a handler of its own."""
    handler, logger = _Lines(), logging.getLogger("transformers")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def bare(checkpoint: Checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """A checkpoint without a generation_config.json, whose configuration says this of `use_cache`."""

    def bare(family: str, use_cache: bool | None) -> Path:
        folder = tmp_path / "bare"
        shutil.copytree(checkpoint(family), folder)
        assert not (folder / "generation_config.json").exists()
        config = json.loads((folder / "config.json").read_text())
        config["use_cache"] = use_cache
        if use_cache is None:
            del config["use_cache"]
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return bare


@pytest.mark.parametrize("use_cache", [True, False, None])
@pytest.mark.parametrize(("family", "head"), [("gpt2", "causal-lm"), ("llama", "causal-lm"), ("t5", "seq2seq-lm")])
def test_states_are_kept_to_write_whatever_a_checkpoint_says(
    bare: Callable[..., Path], family: str, head: str, use_cache: bool | None
) -> None:
    wanted = Model(name=str(bare(family, use_cache)))
    model = models.load(wanted, sources.find(wanted), head, (), 0)
    assert (model.generation_config.use_cache, model.config.use_cache) == (True, False)


@pytest.mark.parametrize("use_cache", [True, False, None])
@pytest.mark.parametrize(
    ("name", "family"), [("text-generation", "gpt2"), ("translation", "t5"), ("translation by a pair", "bert")]
)
def test_nothing_is_said_of_it_while_a_model_learns_and_writes(
    bare: Callable[..., Path], said: list[str], tmp_path: Path, name: str, family: str, use_cache: bool | None
) -> None:
    """Nor where blocks are computed twice, with which transformers keeps no states."""
    tree: dict[str, Any] = cases.tree(name, bare(family, use_cache), tmp_path, 1)
    more = {"data.split.train": 16, "training.gradient_checkpointing": True}
    cases.run(settings.replace(settings.parse(tree), more))
    assert [line for line in said if "use_cache" in line] == []
