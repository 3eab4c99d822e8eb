"""Models that read forwards alone, and whose head reads the last token of a row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import adapters, models, settings, sources
from objectives.errors import ModelError
from objectives.settings import Model

Checkpoint = Callable[[str], Path]


@pytest.mark.parametrize("family", models.DECODERS)
def test_a_decoder_that_knows_no_padding_classifies_batches(
    checkpoint: Checkpoint, tmp_path: Path, family: str
) -> None:
    """As they are published: its head reads the last token that is no padding."""
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "bare"))
    config = json.loads((folder / "config.json").read_text())
    del config["pad_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    chosen = Model(name=str(folder))
    model = models.load(chosen, sources.find(chosen), "sequence-classification", ("a", "b"), 0)
    tokenizer = models.tokenizer(sources.find(chosen), 8)

    def logits(*texts: str) -> torch.Tensor:
        read = tokenizer(list(texts), padding=True, return_tensors="pt")
        return model(input_ids=read["input_ids"], attention_mask=read["attention_mask"]).logits

    assert torch.allclose(logits("good", "good film the film")[0], logits("good")[0], atol=1e-5)


def test_a_prompt_is_refused_where_the_head_looks_for_the_last_token(checkpoint: Checkpoint) -> None:
    """By the tokens themselves, which peft does not hand on: rows that are padded would be read at their padding."""
    model = {"name": str(checkpoint("gpt2")), "adapter": "prompt", "virtual_tokens": 2}
    chosen: Any = settings.parse(
        {"task": "text-classification", "model": model, "data": {"path": "-", "max_length": 8}}
    )
    source = sources.find(chosen.model)
    loaded = models.load(chosen.model, source, "sequence-classification", ("a", "b"), 0)
    with pytest.raises(ModelError, match=r"model\.adapter: prompt gives gpt2 no tokens .*; right is prefix or lora"):
        adapters.check(loaded, chosen, pools=True)
