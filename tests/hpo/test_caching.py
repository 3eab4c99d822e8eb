"""The cache as commands and workers see it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.config import Config
from hpo.inputs import host_for
from hpo.spec import StudySpec
from objectives.cache import Cache

Run = Callable[..., Any]
TREE = {
    "study": "cached",
    "objective": {"task": "text-classification", "data": {"path": "rows.csv", "split": {"valid": 10, "test": 0}}},
    "search": {"training.learning_rate": [1e-3, 1e-2], "model.frozen_layers": {"low": 0, "high": 6, "step": 3}},
    "sampler": "random",
    "trials": 9,
}


def put(config: Config) -> Cache:
    cache = Cache(config.caches)
    cache.folder.mkdir(parents=True)
    with cache.write("states", 3) as stream:
        stream.write(b"abc")
    return cache


def test_status_and_clear(run: Run, config: Config) -> None:
    empty = json.loads(run("cache", "status", "--json").out)
    assert (empty["files"], empty["bytes"], empty["last_used"]) == (0, 0, None)
    cache = put(config)
    found = json.loads(run("cache", "status", "--json").out)
    assert (found["folder"], found["files"], found["bytes"]) == (str(config.caches), 1, 3)
    assert found["limit_bytes"] > 0
    assert found["last_used"]
    limited = run("cache", "status", HPO_CACHE_SIZE="2GB").out.splitlines()
    assert [" ".join(line.split()) for line in limited[1:5]] == [
        f"folder {config.caches}",
        "files 1",
        "bytes 3",
        "limit_bytes 2000000000",
    ]
    assert run("cache", "clear").err == "removed 1 files, 0.0 MB\n"
    assert cache.entries() == []


def test_copies_of_models(run: Run, config: Config) -> None:
    for name, size in (("one", 5), ("two", 2)):
        (config.models / name).mkdir(parents=True)
        (config.models / name / "model.safetensors").write_bytes(b"x" * size)
        (config.models / f"{name}.lock").touch()
    found = json.loads(run("cache", "status", "--json").out)
    assert (found["models_folder"], found["models"], found["models_bytes"]) == (str(config.models), 2, 7)
    assert found["models_last_used"]
    assert run("cache", "clear").err == "removed 0 files, 0.0 MB\n"
    with (config.models / "one.lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        said = "removed 0 files, 0.0 MB\nremoved 1 copies of models, 0.0 MB; 1 are in use\n"
        assert run("cache", "clear", "--models").err == said
    assert [path.name for path in config.models.iterdir() if path.is_dir()] == ["one"]


def test_it_is_made_for_all_depths_of_the_search(config: Config) -> None:
    spec = StudySpec.from_dict(TREE)
    assert host_for(config, spec).cache == Cache(config.home / "cache", None, (0, 3, 6), 9)
    deep = {**TREE, "search": {"model.frozen_layers": [4, "all", 0]}}
    assert host_for(config, StudySpec.from_dict(deep)).cache == Cache(config.home / "cache", None, (4, "all", 0), 9)
    fixed = {**TREE, "search": {"training.learning_rate": [1e-3, 1e-2]}}
    sized = replace(config, cache_size=1000, cache=Path("/fast"))
    assert host_for(sized, StudySpec.from_dict(fixed)).cache == Cache(Path("/fast"), 1000, (), 9)


def test_a_size_of_0_keeps_nothing(config: Config) -> None:
    assert host_for(replace(config, cache_size=0), StudySpec.from_dict(TREE)).cache is None


def test_a_host_does_without_what_the_environment_names(config: Config) -> None:
    spec = StudySpec.from_dict(TREE)
    assert host_for(config, spec).lean_off == ()
    assert host_for(replace(config, lean_off=("sdpa",)), spec).lean_off == ("sdpa",)


@pytest.mark.acceptance
def test_trials_of_a_study_share_it(hpo: Run, tmp_path: Path, config: Config) -> None:
    rows = "".join(f"a {word} day number {n},{word}\n" for n in range(12) for word in ("good", "bad"))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    tree = {**TREE, "search": {**TREE["search"], "model.frozen_layers": [5, 6]}}  # type: ignore[dict-item]
    (tmp_path / "cached.yaml").write_text(json.dumps(tree))
    hpo("launch", "-s", str(tmp_path / "cached.yaml"), "-w", "2", "--set", "trials=4")
    trials = json.loads(hpo("trials", "-s", "cached", "--json").stdout)
    assert [trial["facts"]["cached"] for trial in trials] == [True] * 4
    assert json.loads(hpo("cache", "status", "--json").stdout)["files"] == 4
