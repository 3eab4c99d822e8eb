"""`hpo rank-models`: the models of a study in order, and the best of them tried first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pets
import pytest
import schemas

from hpo.config import Config
from hpo.store import open_store

Run = Callable[..., Any]
NAMES = "search.model.name=[./none, ./bert]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of a model that knows the words, and of one to which all are the same."""
    import torch
    from safetensors.torch import load_file, save_file

    found = pets.save(tmp_path)
    shutil.copytree(tmp_path / "bert", tmp_path / "none")
    weights = load_file(tmp_path / "none" / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    blank = {**weights, name: torch.ones_like(weights[name])}
    save_file(blank, tmp_path / "none" / "model.safetensors", {"format": "pt"})
    return found


def test_the_better_half_is_tried_first(run: Run, config: Config, file: Path) -> None:
    found = run("rank-models", "-s", str(file), "--set", NAMES)
    assert found.code == 0, found.err
    order = [line.split()[0] for line in found.out.splitlines()]
    assert order == ["model.name", "./bert", "./none"]
    assert "tried first in pets: ./bert" in found.err
    assert f"go on: hpo launch -s {file} --set" in found.err
    with open_store(config) as store:
        assert store.plan("pets").spec.enqueue == ({"model.name": "./bert"},)
    (trial,) = json.loads(run("trials", "-s", "pets", "--json").out)
    assert (trial["state"], trial["params"]) == ("WAITING", {"model.name": "./bert"})


def test_again_it_queues_no_model_twice(run: Run, file: Path) -> None:
    for _ in range(2):
        assert run("rank-models", "-s", str(file), "--set", NAMES, "--queue", "2").code == 0
    waiting = json.loads(run("trials", "-s", "pets", "--json").out)
    assert [trial["params"]["model.name"] for trial in waiting] == ["./bert", "./none"]


def test_as_json_and_without_a_queue(run: Run, file: Path) -> None:
    found = run("rank-models", "-s", str(file), "--set", NAMES, "--queue", "0", "--rows", "20", "--json")
    answer = json.loads(found.out)
    schemas.check("rank-models", answer)
    assert (answer["queued"], [model["train"] for model in answer["models"]]) == ([], [20, 20])
    assert json.loads(run("studies", "--json").out) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "search.model.name: there are not several models to rank; right is such as model.name: [minilm, dist"),
        (("search.model.name=[./bert]",), "there are not several models to rank"),
        ((NAMES, "queue=3"), "pets: --queue 3 is more than the 2 models there are"),
        ((NAMES, "sampler=grid", "search.training.learning_rate=[1e-3]", "queue=1"), "every point runs once"),
        ((NAMES, "task=fill-mask"), "ranking, model.name=./none: task.kind: fill-mask makes no one vector"),
        (("search.model.name=[./bert, ./nowhere]",), "there is no folder"),
    ],
)
def test_what_cannot_be_ranked(run: Run, file: Path, overrides: tuple[str, ...], said: str) -> None:
    queue = [word for text in overrides if text.startswith("queue=") for word in ("--queue", text[6:])]
    sets = [word for text in overrides if not text.startswith("queue=") for word in ("--set", text)]
    found = run("rank-models", "-s", str(file), *sets, *queue)
    assert found.code == 1
    assert said in found.err
    assert found.err.count("\n") == 1


def test_a_grid_is_ranked_and_runs_in_its_order(run: Run, file: Path) -> None:
    grid = ("--set", "sampler=grid", "--set", "search.training.learning_rate=[1e-3]")
    found = run("rank-models", "-s", str(file), "--set", NAMES, *grid)
    assert (found.code, found.err) == (0, "")
    assert json.loads(run("studies", "--json").out) == []
