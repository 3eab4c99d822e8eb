"""Matrices in 8 and 4 bits: what is rounded, learns beside it, is kept, is written, and what cannot be."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from cases import run
from cutoff import cut_after, recorded, tensors
from lessons import same
from pydantic import ValidationError

from objectives import data, layers, models, quantized, settings, sources, strategy, trial
from objectives.adapters import merged
from objectives.cache import Cache
from objectives.errors import ModelError
from objectives.evaluation import Evaluation
from objectives.host import Host
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
BITS = ("8bit", "4bit")
KINDS = {"8bit": bitsandbytes.nn.Linear8bitLt, "4bit": bitsandbytes.nn.Linear4bit}
LORA = {"adapter": "lora", "lora": {"rank": 4, "targets": "all"}}


@pytest.fixture
def arranged(checkpoint: Checkpoint) -> Callable[..., Any]:
    def arranged(family: str, head: str = "sequence-classification", **chosen: Any) -> Any:
        wanted = Model.model_validate({"name": str(checkpoint(family)), **LORA, **chosen})
        names = tuple("abc") if head == "sequence-classification" else ()
        return strategy.arranged(models.load(wanted, sources.find(wanted), head, names, 0), wanted, 0)

    return arranged


HEADS = {"gpt2": "causal-lm", "qwen2": "causal-lm", "t5": "seq2seq-lm", "marian": "seq2seq-lm"}


def load(arranged: Callable[..., Any], family: str, **chosen: Any) -> Any:
    return arranged(family, HEADS.get(family, "sequence-classification"), **chosen)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", ["bert", "distilbert", "albert", "modernbert", "deberta-v2", "gpt2", "qwen2", "t5"])
def test_the_matrices_of_blocks_are_rounded_and_as_many_numbers_learn(
    arranged: Callable[..., Any], family: str, bits: str
) -> None:
    plain, rounded = load(arranged, family), load(arranged, family, quantization=bits)
    blocks = {id(part) for side in layers.sides(plain) for block in side.blocks for part in block.modules()}
    every = ((name, part) for name, part in plain.named_modules() if hasattr(part, "base_layer"))
    held = [name for name, part in every if id(part) in blocks and "wo" not in name.split(".")]  # T5 keeps it in fp32
    assert held
    assert all(isinstance(rounded.get_submodule(name).base_layer, KINDS[bits]) for name in held)
    inside = {id(rounded.get_submodule(name).base_layer) for name in held}
    assert not [
        name for name, part in rounded.named_modules() if isinstance(part, KINDS[bits]) and id(part) not in inside
    ]
    assert layers.trainable_parameters(rounded) == layers.trainable_parameters(plain)
    assert layers.total_parameters(rounded) == layers.total_parameters(plain)


@pytest.mark.parametrize("pooling", ["head", "mean"])
@pytest.mark.parametrize("bits", BITS)
def test_adapters_stand_beside_rounded_matrices(arranged: Callable[..., Any], bits: str, pooling: str) -> None:
    """They are peft's own for these, whatever head follows the blocks."""
    found = arranged("bert", quantization=bits, pooling=pooling)
    kinds = {type(part).__name__ for part in found.modules() if hasattr(part, "lora_A")}
    assert kinds == {KINDS[bits].__name__}


@pytest.fixture
def chosen(lesson: Callable[..., settings.Settings]) -> Callable[..., settings.Settings]:
    """The settings of a trial of a case that trains adapters beside rounded matrices."""

    def chosen(
        bits: str, name: str = "text-classification", family: str = "bert", epochs: int = 2, **values: Any
    ) -> settings.Settings:
        made = lesson(name, family, epochs, quantization=bits, **LORA)
        rate = {"training.learning_rate": 1e-2}
        return settings.replace(made, {**rate, **{key.replace("__", "."): value for key, value in values.items()}})

    return chosen


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("text-classification", "bert"),
        ("token-classification", "distilbert"),
        ("text-generation", "gpt2"),
        ("text-generation", "llama"),
        ("translation", "t5"),
        ("image-classification", "vit"),
    ],
)
def test_a_loss_falls(chosen: Callable[..., settings.Settings], bits: str, name: str, family: str) -> None:
    seen, result = run(chosen(bits, name, family, 4, training__evaluations_per_epoch=4))
    losses = [each.metrics["val_loss"] for each in seen]
    assert losses[-1] < 0.8 * losses[0]
    assert result.facts["lean"] == []
    assert "bitsandbytes" in result.facts["versions"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("bits", BITS)
def test_a_trial_that_was_cut_off_ends_as_an_undisturbed_one(
    chosen: Callable[..., settings.Settings], bits: str, precision: str, tmp_path: Path
) -> None:
    """Of the model its checkpoint holds adapters and the head alone."""
    wanted = chosen(bits, model__dropout=0.3, training__precision=precision, training__evaluations_per_epoch=2)
    host = Host("cpu", 1)
    whole, _ = run(wanted, host)
    for step in (1, 3):
        seen, snapshot = cut_after(wanted, step, host, tmp_path / str(step))
        rest, _ = run(wanted, host, resume=snapshot)
        assert recorded([*seen, *rest]) == recorded(whole)
        assert same(tensors(rest[-1]), tensors(whole[-1]))
    kept = [name for name in snapshot.tensors if name.startswith("model.")]
    assert kept
    assert all("lora_" in name or "classifier" in name or "pooler" in name for name in kept)


@pytest.mark.parametrize("bits", BITS)
def test_frozen_blocks_run_with_every_batch_and_the_log_says_why(
    chosen: Callable[..., settings.Settings], bits: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What they compute must not be met in the cache by trials whose blocks are not rounded, nor theirs by them."""
    wanted, host = chosen(bits, model__frozen_layers=2), Host("cpu", 1, cache=Cache(tmp_path / "cache", trials=100))
    with caplog.at_level("INFO"):
        seen, result = run(wanted, host)
    assert result.facts["cached"] is False
    assert "what matrices in few bits compute" in caplog.text
    plain = settings.replace(wanted, {"model.quantization": "none"})
    assert run(plain, host)[1].facts["cached"] is True
    again, _ = run(wanted, host)
    assert recorded(again) == recorded(seen)


def written(wanted: settings.Settings, folder: Path) -> list[Evaluation]:
    seen: list[Evaluation] = []
    folder.mkdir()

    def report(evaluation: Evaluation) -> None:
        seen.append(evaluation)
        if evaluation.model:
            evaluation.model(folder)

    trial.run(settings.replace(wanted, {"data.score": "test"}), report, host=Host("cpu", 1))
    return seen


@pytest.mark.parametrize("pooling", ["head", "mean"])
@pytest.mark.parametrize("bits", BITS)
def test_a_written_model_is_whole_and_plain_and_says_what_was_scored(
    chosen: Callable[..., settings.Settings], bits: str, pooling: str, tmp_path: Path
) -> None:
    """Its matrices are as they were rounded, with what was learned added; 8 bits round on a CPU what they read, too."""
    wanted = chosen(bits, model__pooling=pooling)
    assert isinstance(wanted, settings.Transfer)
    found = written(wanted, tmp_path / "model")[-1].predictions
    assert found
    assert "quantization_config" not in (tmp_path / "model" / "config.json").read_text()
    assert json.loads((tmp_path / "model" / "hpo.json").read_text())["quantization"] == bits
    texts = [line.partition(",")[0] for line in (tmp_path / "rows.csv").read_text().splitlines()[1:]]
    said = dict(zip(texts, trial.predict(tmp_path / "model", texts), strict=True))
    test = data.load(wanted.data.model_copy(update={"score": "test"}), settings.split_seed(wanted)).test
    assert test is not None
    apart = {"8bit": 0.05, "4bit": 1e-4}[bits]
    for text, place, chance in zip(test.column("text"), found.predicted, found.probability, strict=True):
        assert said[text].label == found.classes[place]
        assert said[text].probability == pytest.approx(chance, abs=apart)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", ["gpt2", "qwen2", "t5"])
def test_made_plain_a_model_computes_what_it_did(arranged: Callable[..., Any], family: str, bits: str) -> None:
    """With the classes of its matrices, which GPT-2 keeps the other way round."""
    model, whole = load(arranged, family, quantization=bits), load(arranged, family, adapter="none", lora={})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    tokens = torch.tensor([[2, 5, 9, 7, 3]])
    inputs = {"input_ids": tokens, **({"decoder_input_ids": tokens} if family == "t5" else {})}
    before = model.eval()(**inputs).logits
    plain = merged(model)
    assert {name: type(part) for name, part in plain.named_modules()} == {
        name: type(part) for name, part in whole.named_modules()
    }
    assert {name: one.shape for name, one in plain.named_parameters()} == {
        name: one.shape for name, one in whole.named_parameters()
    }
    scale = float(before.detach().abs().max())
    assert plain(**inputs).logits.detach().numpy() == pytest.approx(
        before.detach().numpy(), abs={"8bit": 0.05, "4bit": 1e-4}[bits] * scale
    )


def test_four_bits_stay_the_same_bits(arranged: Callable[..., Any]) -> None:
    """Evaluated, trained and evaluated again, at a width that bitsandbytes cannot repack for a CPU with bf16."""
    model = arranged("bert", quantization="4bit")
    before = {name: one.clone() for name, one in model.state_dict().items()}
    tokens = torch.tensor([[2, 5, 9, 7, 3]])
    with torch.no_grad():
        model.eval()(input_ids=tokens)
        model.train()(input_ids=tokens)
        model.eval()(input_ids=tokens)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_four_bits_are_multiplied_in_the_precision_of_the_trial(arranged: Callable[..., Any]) -> None:
    model = arranged("bert", quantization="4bit")
    for dtype in (torch.bfloat16, None):
        quantized.computing_in(model, dtype)
        part = next(part for part in model.modules() if isinstance(part, KINDS["4bit"]))
        assert part.compute_dtype is (dtype or torch.float32)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"quantization": "8bit"}, "quantization 8bit keeps weights that cannot learn; right is adapter lora"),
        ({"quantization": "4bit", "adapter": "prompt"}, "quantization 4bit keeps weights that cannot learn; right is"),
        ({"quantization": "4bit", "pretrained": False, **LORA}, "rounds pretrained weights, and pretrained is false"),
        ({"quantization": "4bit", "decoder": "minilm", **LORA}, "is of one model, and decoder makes it two; keep one"),
        ({"quantization": "2bit", **LORA}, "Input should be 'none', '8bit' or '4bit'"),
    ],
)
def test_what_cannot_be_rounded_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Model.model_validate(values)


def test_a_missing_package_names_the_extra(
    chosen: Callable[..., settings.Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("objectives.ready.find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    said = "model.quantization: 4bit needs the extra quantization; pip install bitsandbytes"
    with pytest.raises(ModelError, match=re.escape(said)):
        trial.prepare(chosen("4bit"))
    trial.prepare(settings.replace(chosen("4bit"), {"model.quantization": "none"}))
