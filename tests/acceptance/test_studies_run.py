"""Each shipped study does real fine-tuning of the pretrained encoder, for a short trial."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_chinese import save_chinese_bert

from hpo import spec as studies

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


@pytest.fixture
def model(name: str, tmp_path: Path) -> Path | None:
    """A folder in place of a model that would have to be downloaded; None where the study's own is here."""
    return None if studies.load(studies.find(name)).objective.model.name == "minilm" else save_chinese_bert(tmp_path)


@pytest.mark.parametrize("name", studies.shipped())
def test_a_shipped_study_trains(
    name: str, model: Path | None, hpo: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    own = {"model.name": model} if model else {}
    full_name = str(model) if model else "minilm (all-MiniLM-L6-v2, BERT architecture, English)"
    overrides = [f"{address}={value}" for address, value in {**SHORT, **own}.items()]
    said = hpo("launch", "-s", name, "-w", "1", *(word for pair in overrides for word in ("--set", pair)))
    assert full_name in said.stderr
    best = json.loads(hpo("best", "-s", name, "--json").stdout)
    assert best["study"] == name
    assert 0 < best["metrics"]["val_loss"] < 20
    assert set(best["params"]) == set(studies.load(studies.find(name)).search)
    shown = json.loads(hpo("show", "-s", name, str(best["number"]), "--json").stdout)
    assert shown["trainable_parameters"] > 0
    assert shown["facts"]["model"] == full_name
    assert set(shown["seconds"]) >= {"load", "data", "train", "evaluate", "report"}
