"""What a model can take is read from its configuration, as transformers itself counts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from objectives import layers, limits, models
from objectives.limits import Limits
from objectives.sources import Source


def source(folder: Path) -> Source:
    return Source(str(folder), None, "a model")


@pytest.mark.parametrize(
    "family", ["albert", "bert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"]
)
def test_every_family_has_the_limits_that_its_model_has(checkpoint: Callable[[str], Path], family: str) -> None:
    found = limits.read(source(checkpoint(family)))
    longest = models.positions(transformers.AutoConfig.from_pretrained(checkpoint(family)))
    assert found == Limits(longest if longest < 10**6 else None, 3)


@pytest.mark.parametrize("family", ["convnext", "efficientnet", "mobilenet_v2", "resnet", "vit"])
def test_of_images_the_stages_count_where_they_are_listed(checkpoint: Callable[[str], Path], family: str) -> None:
    model = transformers.AutoModelForImageClassification.from_pretrained(checkpoint(family))
    stages = None if family == "mobilenet_v2" else len(layers.prefix(model).blocks)
    assert limits.read(source(checkpoint(family))) == Limits(None, stages)


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"model_type": "roberta", "max_position_embeddings": 40})])
def test_of_an_odd_configuration_nothing_is_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert limits.read(source(tmp_path)) == Limits()


def test_of_a_model_of_the_hub_nothing_is_known() -> None:
    assert limits.read(Source("distilbert-base-uncased", None, "distilbert-base-uncased")) == Limits()
