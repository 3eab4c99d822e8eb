"""Each shipped study does real fine-tuning of the pretrained encoder, for a short trial."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

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


@pytest.mark.parametrize("name", studies.shipped())
def test_a_shipped_study_trains(name: str, hpo: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    overrides = [f"{address}={value}" for address, value in SHORT.items()]
    said = hpo("launch", "-s", name, "-w", "1", *(word for pair in overrides for word in ("--set", pair)))
    assert "minilm (all-MiniLM-L6-v2, BERT architecture, English)" in said.stderr
    best = json.loads(hpo("best", "-s", name, "--json").stdout)
    assert best["study"] == name
    assert 0 < best["metrics"]["val_loss"] < 5
    assert set(best["params"]) == set(studies.load(studies.find(name)).search)
    shown = json.loads(hpo("show", "-s", name, str(best["number"]), "--json").stdout)
    assert shown["trainable_parameters"] > 0
    assert shown["facts"]["model"] == "minilm (all-MiniLM-L6-v2, BERT architecture, English)"
    assert set(shown["seconds"]) >= {"load", "data", "train", "evaluate", "report"}
