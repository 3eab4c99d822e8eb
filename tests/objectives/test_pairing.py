"""Two models as one: what is new of it learns, whatever is frozen; what is left is read again as any model is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import WORDS
from safetensors.torch import load_file

from bench import tiny
from objectives import layers, limits, models, pairing, remote, settings, sources, strategy, trial
from objectives.errors import ModelError
from objectives.evaluation import Evaluation, Snapshot
from objectives.host import Host
from objectives.identity import identity, is_certain
from objectives.limits import Limits
from objectives.ready import in_use, located, ready
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
TOKENS, POSITIONS, HIDDEN, INNER, BLOCKS = 18, 40, 32, 64, 3


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


NORM = 2 * HIDDEN
ATTENTION = 4 * _linear(HIDDEN, HIDDEN) + NORM
BLOCK = ATTENTION + _linear(HIDDEN, INNER) + _linear(INNER, HIDDEN) + NORM
STEM = (TOKENS + POSITIONS + 2) * HIDDEN + NORM
HEAD = _linear(HIDDEN, HIDDEN) + NORM + TOKENS
"""What stands between the decoder's blocks and its embeddings, which say the words, and a bias for each of these."""


def pair(folder: Path, decoder: Path | None = None, **more: Any) -> Model:
    return Model(name=str(folder), decoder=str(decoder or folder), **more)


def load(model: Model, seed: int = 0) -> Any:
    return models.load(model, sources.find(model), "seq2seq-lm", (), seed)


@pytest.mark.parametrize("first", range(BLOCKS + 1))
@pytest.mark.parametrize("second", range(BLOCKS + 1))
def test_each_side_is_frozen_to_its_own_depth_and_new_attention_learns(bert: Path, first: int, second: int) -> None:
    chosen = pair(bert, frozen_layers=first, frozen_decoder_layers=second)
    model = strategy.arranged(load(chosen), chosen, 0)
    assert layers.total_parameters(model) == 2 * STEM + 2 * BLOCKS * BLOCK + BLOCKS * ATTENTION + HEAD
    left = [(BLOCKS - frozen) * BLOCK + (0 if frozen else STEM) for frozen in (first, second)]
    assert layers.trainable_parameters(model) == sum(left) + BLOCKS * ATTENTION + HEAD


def test_more_blocks_than_a_side_has(bert: Path) -> None:
    chosen = pair(bert, frozen_decoder_layers=4)
    with pytest.raises(ModelError, match=r"model\.frozen_decoder_layers: 4 is more than the model's 3 blocks"):
        strategy.arranged(load(chosen), chosen, 0)


def test_frozen_blocks_of_what_reads_have_no_dropout(bert: Path) -> None:
    chosen = pair(bert, frozen_layers=2)
    model = strategy.arranged(load(chosen), chosen, 0)
    layers.train_mode(model)
    assert [block.training for block in layers.prefix(model).blocks] == [False, False, True]


def test_dropout_is_set_on_both_sides(bert: Path) -> None:
    model = load(pair(bert, dropout=0.3))
    assert {part.p for part in model.modules() if isinstance(part, torch.nn.Dropout)} == {0.3}


@pytest.mark.parametrize("learn", [{"adapter": "lora"}, {"learn": "biases"}])
def test_new_attention_learns_beside_what_learns_in_part(bert: Path, learn: dict[str, Any]) -> None:
    chosen = pair(bert, **learn)
    model = strategy.arranged(load(chosen), chosen, 0)
    new = {name: one for name, one in model.named_parameters() if "crossattention" in name}
    assert sum(one.numel() for one in new.values() if one.requires_grad) == BLOCKS * ATTENTION
    assert not any("lora" in name for name in new)
    assert not model.encoder.embeddings.word_embeddings.weight.requires_grad


def test_both_sides_are_pretrained_and_what_is_new_follows_from_the_seed(bert: Path) -> None:
    known = load_file(bert / "model.safetensors")
    one, same, other = (load(pair(bert), seed).state_dict() for seed in (1, 1, 2))
    new = [name for name in one if "crossattention" in name and name.endswith("dense.weight")]
    for name, tensor in known.items():
        if "pooler" not in name:
            assert torch.equal(one[f"encoder.{name}"], tensor)
            assert torch.equal(one[f"decoder.bert.{name}"], tensor)
    assert len(new) == BLOCKS
    assert all(torch.equal(one[name], same[name]) and not torch.equal(one[name], other[name]) for name in new)


def test_its_outline_is_what_it_is(bert: Path) -> None:
    chosen = pair(bert)
    outline = models.outline(chosen, sources.find(chosen), "seq2seq-lm", ())
    found = {name: tensor.shape for name, tensor in outline.state_dict().items()}
    assert found == {name: tensor.shape for name, tensor in load(chosen).state_dict().items()}


def test_what_is_written_later_is_not_seen(bert: Path) -> None:
    model, text = load(pair(bert)), torch.tensor([[2, 4, 5, 3]])
    labels = torch.tensor([[2, 6, 7, 3], [2, 6, 8, -100]])
    found = model(input_ids=text.expand(2, -1), labels=labels).logits
    assert torch.allclose(found[0, :3], found[1, :3], atol=1e-6)
    assert not torch.allclose(found[0, 3], found[1, 3], atol=1e-3)
    read_other = model(input_ids=text.flip(1), labels=labels[:1]).logits
    assert not torch.allclose(found[0], read_other[0], atol=1e-3)


@pytest.mark.parametrize("family", ["electra", "gpt2"])
def test_what_writes_may_be_of_another_family(checkpoint: Checkpoint, family: str) -> None:
    model = load(pair(checkpoint("distilbert"), checkpoint(family)))
    assert len(layers.sides(model)) == 2
    assert model(input_ids=torch.tensor([[2, 4, 3]]), labels=torch.tensor([[2, 5, 3]])).logits.shape == (1, 3, TOKENS)


@pytest.mark.parametrize(
    ("name", "decoder", "said"),
    [
        ("bert", "mpnet", r"model\.decoder: mpnet cannot write beside another model; right is one such as bert"),
        ("t5", "bert", r"model\.decoder: t5 of model\.name has a decoder of its own; remove it"),
    ],
)
def test_models_that_are_no_pair(checkpoint: Checkpoint, name: str, decoder: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load(pair(checkpoint(name), checkpoint(decoder)))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A model that knows the same words by other numbers."""
    tokenizer = tiny.tokenizer(WORDS[::-1])
    return tiny.save(tmp_path / "foreign", tiny.bert(tokenizer), tokenizer)


def test_models_of_other_tokens(bert: Path, foreign: Path) -> None:
    said = rf"model\.decoder: the tokens of {foreign} are others than those of {bert}, by whose tokenizer"
    with pytest.raises(ModelError, match=said):
        ready(pair(bert, foreign))
    with pytest.raises(ModelError, match=said):
        models.tokenizer(sources.find(pair(bert, foreign)), 16)


def test_a_decoder_that_cannot_be_loaded(bert: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(bert, tmp_path / "broken"))
    (broken / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=rf"^model\.decoder: cannot load {broken}: it has no weights"):
        ready(pair(bert, broken))
    with pytest.raises(ModelError, match=r"^model\.decoder: there is no model 'miniln'; did you mean minilm\?"):
        ready(Model(name=str(bert), decoder="miniln"))


def test_a_decoder_behind_a_url_is_copied_and_kept_while_it_is_used(bert: Path, tmp_path: Path) -> None:
    with in_use(Model(name=str(bert), decoder=f"file://{bert}"), cache=tmp_path) as source:
        assert source.decoder is not None
        assert Path(source.decoder.where).parent == tmp_path
        assert [str(entry.path) for entry in remote.clear(tmp_path)[1]] == [source.decoder.where]
    assert source.where == str(bert)
    with pytest.raises(ModelError, match=r"^model\.decoder: cannot fetch file:///nowhere"):
        located(Model(name=str(bert), decoder="file:///nowhere"), cache=tmp_path)


def test_both_have_limits_and_an_identity(checkpoint: Checkpoint, bert: Path, foreign: Path) -> None:
    source = sources.find(pair(bert, checkpoint("roberta")))
    assert limits.read(source) == Limits(POSITIONS, BLOCKS, POSITIONS - 1, BLOCKS)
    assert limits.read(sources.find(Model(name=str(checkpoint("bart"))))).decoder_blocks == 2
    found = identity(sources.find(pair(bert, foreign)))
    assert found == f"{identity(sources.find(first(bert)))}+{identity(sources.find(first(foreign)))}"
    assert is_certain(found)
    assert not is_certain(f"{found}+hub:main")


def first(folder: Path) -> Model:
    return Model(name=str(folder))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"decoder_revision": "v2"}, "decoder_revision is of a decoder, and there is none"),
        (
            {"decoder": "minilm", "decoder_revision": "v2"},
            "decoder_revision is of another model, and decoder is name's",
        ),
    ],
)
def test_a_revision_without_a_model_of_its_own(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Model.model_validate({"name": "minilm", **given})


@pytest.mark.parametrize(("decoder", "revision"), [("some/model", "v1"), ("other/model", "v2")])
def test_the_same_model_is_of_the_same_revision(decoder: str, revision: str) -> None:
    other = None if decoder == "some/model" else "v2"
    source = sources.find(Model(name="some/model", revision="v1", decoder=decoder, decoder_revision=other))
    assert source.decoder is not None
    assert (source.revision, source.decoder.where, source.decoder.revision) == ("v1", decoder, revision)
    assert source.names == f"some/model@v1 + {decoder}@{revision}"


@pytest.fixture
def trained(bert: Path, tmp_path: Path) -> settings.Settings:
    """Texts to be said again, by a pair of the same model."""
    rows = [f"the {noun} was {word}" for noun in ("film", "book", "song") for word in ("good", "bad", "sad", "nice")]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"{row},{row}\n" for row in rows * 4))
    return settings.parse(
        {
            "task": {"kind": "translation", "max_target_length": 8},
            "model": {"name": str(bert), "decoder": str(bert), "frozen_layers": 1},
            "data": {
                "path": str(tmp_path / "rows.csv"),
                "split": {"valid": 8, "test": 8},
                "score": "test",
                "max_length": 16,
            },
            "training": {"epochs": 3, "learning_rate": 3e-3, "seed": 1, "precision": "fp32", "batch_size": 8},
        }
    )


def _run(chosen: settings.Settings, resume: Snapshot | None = None) -> tuple[list[Evaluation], list[Snapshot]]:
    seen: list[Evaluation] = []
    kept: list[Snapshot] = []

    def report(evaluation: Evaluation) -> None:
        assert evaluation.snapshot is not None
        seen.append(evaluation)
        kept.append(evaluation.snapshot())

    trial.run(chosen, report, host=Host("cpu", 1), resume=resume)
    return seen, kept


def test_it_is_resumed_to_the_same_bits(trained: settings.Settings) -> None:
    seen, kept = _run(trained)
    again, _ = _run(trained, kept[0])
    losses = [[each.metrics["val_loss"] for each in some] for some in (seen[1:], again)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


def test_what_is_left_is_a_model_like_others(trained: settings.Settings, tmp_path: Path) -> None:
    seen: list[Evaluation] = []

    def report(evaluation: Evaluation) -> None:
        seen.append(evaluation)
        if evaluation.model is not None:
            evaluation.model(tmp_path / "left")

    trial.run(trained, report, host=Host("cpu", 1))
    chosen = Model(name=str(tmp_path / "left"), frozen_decoder_layers=2)
    source = sources.find(chosen)
    assert limits.read(source) == Limits(POSITIONS, BLOCKS, POSITIONS, BLOCKS)
    model = strategy.arranged(load(chosen), chosen, 0)
    left = STEM + BLOCKS * BLOCK + BLOCK + ATTENTION + HEAD  # trained by now, and frozen like the rest
    assert layers.trainable_parameters(model) == left
    assert [models.positions(side) for side in pairing.sides(model.config)] == [POSITIONS, POSITIONS]
    again = settings.replace(trained, {"model.name": chosen.name, "model.decoder": None, "training.epochs": 0})
    untrained: list[Evaluation] = []
    trial.run(again, untrained.append, host=Host("cpu", 1))
    assert untrained[0].metrics["test_loss"] == pytest.approx(seen[-1].metrics["test_loss"], rel=1e-5)
