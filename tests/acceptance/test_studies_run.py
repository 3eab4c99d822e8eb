"""Each shipped study does real fine-tuning of the pretrained encoder, for a short trial, or one of each point."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from families import GENERATORS
from test_chinese import save_chinese_bert

from bench import tiny
from hpo import spec as studies
from objectives import kinds, sources

pytestmark = pytest.mark.acceptance
SHORT = {
    "trials": 1,
    "pruner": "none",
    "enqueue_defaults": "null",
    "training.epochs": 1,
    "training.evaluations_per_epoch": 1,
    "data.max_length": 16,
    "data.split.train": 120,
}


BLOCKS: dict[str, dict[str, int]] = {"t5": {"num_layers": 6, "num_decoder_layers": 6}, "gpt2": {"n_layer": 12}}
STAND_INS = {"google-t5/t5-small": "t5", "openai-community/gpt2": "gpt2"}
ROWS = {"entailment": 60, "notes": 12, "phrases": 60, "requests": 60, "similarity": 60, "strategies": 600}
"""Rows to train on, of files that have no more, or of which a study asks for more."""
CHOSEN = {"models": ["search.model.name=[minilm]"]}
"""What stands in for choices that would have to be downloaded."""


@pytest.fixture
def model(name: str, tmp_path: Path) -> Path | None:
    """A folder in place of a model that would have to be downloaded; None where the study's own is here."""
    own = studies.load(studies.find(name)).objective.model.name
    if own.startswith("./"):
        return None
    if own in STAND_INS:
        return _save_writer(tmp_path, STAND_INS[own], Path(studies.find(name)).parent / "data")
    return None if own == "minilm" else save_chinese_bert(tmp_path)


def _save_writer(folder: Path, family: str, data: Path) -> Path:
    """A tiny model that knows the words of the shipped files, and has as many blocks as the one that it stands for."""
    words = {word for file in data.glob("*.csv") for word in re.findall(r"\w+|[^\w\s]+", file.read_text("utf-8"))}
    tokenizer, config = tiny.tokenizer(sorted(words)), GENERATORS[family]()
    config.update({"vocab_size": len(tokenizer), **BLOCKS[family]})
    return tiny.save(folder, config, tokenizer)


@pytest.mark.parametrize("name", studies.shipped())
def test_a_shipped_study_trains(
    name: str, model: Path | None, hpo: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    own = {"model.name": model} if model else {}
    spec = studies.load(studies.find(name))
    objective = studies.settings_for(spec, {})
    full_name = str(model) if model else sources.find(objective.model).full_name
    few = {"data.split.train": ROWS[name]} if name in ROWS else {}
    unknown = {*kinds.KINDS[objective.task.kind].unknown, *(("trials",) if spec.points else ())}  # points run, all
    short = {key: value for key, value in SHORT.items() if key not in unknown}
    overrides = [f"{address}={value}" for address, value in {**short, **own, **few}.items()] + CHOSEN.get(name, [])
    said = hpo("launch", "-s", name, "-w", "1", *(word for pair in overrides for word in ("--set", pair)))
    assert full_name in said.stderr
    best = json.loads(hpo("best", "-s", name, "--json").stdout)
    assert best["study"] == name
    assert 0 < best["metrics"]["val_loss"] < 20
    assert set(best["params"]) == set(spec.search)
    states = [trial["state"] for trial in json.loads(hpo("trials", "-s", name, "--json").stdout)]
    assert states == ["COMPLETE"] * (len(spec.points) or 1)
    shown = json.loads(hpo("show", "-s", name, str(best["number"]), "--json").stdout)
    assert shown["trainable_parameters"] > 0
    assert shown["facts"]["model"] == full_name
    assert set(shown["seconds"]) >= {"load", "data", "train", "evaluate", "report"}
