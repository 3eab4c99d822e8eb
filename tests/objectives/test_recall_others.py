"""Frozen blocks of models that read images or write, computed once: the same results as when each batch runs them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import run
from families import IMAGES
from recalling import assert_close, numbers

from objectives import layers, models, probe, rehearsal, settings, sources
from objectives.cache import Cache
from objectives.errors import ObjectiveError
from objectives.host import Host

Lesson = Callable[..., settings.Transfer]
BLOCKS = {"convnext": 3, "efficientnet": 7, "mobilenet_v2": 6, "resnet": 3, "vit": 3}
KIND = "image-classification"
WRITERS = {"translation": ("t5", "marian"), "summarization": ("bart", "mbart")}
DECODERS = ("gpt2", "llama", "qwen2")
DEPTHS = [(KIND, family, depth) for family, blocks in BLOCKS.items() for depth in (1, 2, blocks)]
DEPTHS += [("text-classification", family, 3) for family in ("bart", "mbart", "t5")]  # whose head reads the decoder
DEPTHS += [("multi-label-classification", "t5", 3), ("text-regression", "mbart", 2)]
DEPTHS += [(kind, family, depth) for kind, some in WRITERS.items() for family in some for depth in (1, 2, 3)]
DEPTHS += [("translation by a pair", family, depth) for family in ("bert", "roberta") for depth in (1, 2, 3)]
DEPTHS += [
    (kind, family, depth)
    for kind in ("text-classification", "text-generation", "text-generation of answers")
    for family in DECODERS
    for depth in (1, 2, 3)
    if kind == "text-classification" or depth < 3 or family == "llama"  # whose head is no embedding
]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", trials=9)


@pytest.fixture(autouse=True)
def pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What so small a model computes is hardly worth keeping."""
    monkeypatch.setattr("objectives.worth.CPU_FLOPS", 1e3)


def here(cache: Cache) -> Host:
    return Host("cpu", 1, cache=cache)


@pytest.mark.parametrize(("kind", "family", "depth"), DEPTHS)
def test_the_same_with_the_cache_as_without(lesson: Lesson, cache: Cache, kind: str, family: str, depth: int) -> None:
    assert {*BLOCKS} == {*IMAGES}
    mine = lesson(kind, family, epochs=2, frozen_layers=depth)
    without, plain = run(mine)
    built, result = run(mine, here(cache))
    found, again = run(mine, here(cache))
    assert (plain.facts["cached"], result.facts["cached"], again.facts["cached"]) == (False, True, True)
    assert (result.facts["frozen"]["built"] > 0, again.facts["frozen"]["built"]) == (True, 0)
    assert_close(numbers(built), numbers(without))
    assert numbers(found) == numbers(built)
    assert [each.details for each in built] == [each.details for each in without]
    assert result.trainable_parameters == plain.trainable_parameters
    assert len(cache.entries()) == 2


HOW: list[dict[str, Any]] = [
    {"training.gradient_checkpointing": True},
    {"model.adapter": "lora"},
    {"training.precision": "bf16"},
    {"training.batch_size": 5, "training.group_by_length": True, "model.frozen_layers": 1},
    {"training.unfreeze_every": 1},
]


REFUSED = [("translation", "training.unfreeze_every")]


@pytest.mark.parametrize("values", HOW, ids=" ".join)
@pytest.mark.parametrize(("kind", "family"), [(KIND, "vit"), ("text-generation", "llama"), ("translation", "t5")])
def test_the_same_however_it_is_trained(
    lesson: Lesson, cache: Cache, kind: str, family: str, values: dict[str, Any]
) -> None:
    mine = settings.replace(lesson(kind, family, epochs=2, frozen_layers=2), values)
    if (kind, *values) in REFUSED:
        with pytest.raises(ObjectiveError):
            run(mine, here(cache))
        return
    without, _ = run(mine)
    built, result = run(mine, here(cache))
    assert result.facts["cached"]
    close = 0.05 if "training.precision" in values else 1e-5
    for one, other in zip(numbers(built), numbers(without), strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], abs=close)
    assert numbers(run(mine, here(cache))[0]) == numbers(built)


@pytest.mark.parametrize("family", BLOCKS)
def test_one_pass_serves_all_depths(lesson: Lesson, cache: Cache, family: str) -> None:
    wide = Cache(cache.folder, depths=(1, 2, "all"), trials=9)
    built = [
        run(lesson(KIND, family, epochs=1, frozen_layers=depth), here(wide))[1].facts["frozen"]["built"]
        for depth in (1, 2, "all")
    ]
    assert (built[0] > 0, built[1:]) == (True, [0, 0])
    assert len(wide.entries()) == 6


@pytest.mark.parametrize(("family", "size"), [("convnext", 32), ("resnet", 32), ("vit", 32)])
def test_the_whole_body_leaves_one_vector_of_an_image(lesson: Lesson, cache: Cache, family: str, size: int) -> None:
    run(lesson(KIND, family, epochs=1, frozen_layers="all"), here(cache))
    sizes = sorted(entry.size for entry in cache.entries())
    for got, rows in zip(sizes, (24, 192), strict=True):
        assert 0 < got - rows * size * 4 < 1000, "a header and a digest beside them"


def test_a_pair_drops_nothing_of_frozen_embeddings_and_keeps_states_whatever_else_it_drops(
    lesson: Lesson, checkpoint: Callable[[str], Path], cache: Cache
) -> None:
    """GPT-2's dropout of its embeddings stands outside of these."""
    mine = lesson("translation by a pair", "bert", epochs=1, frozen_layers=1)
    values = {"model.name": str(checkpoint("gpt2")), "model.decoder": str(checkpoint("bert"))}
    built = []
    for dropout in (0.3, 0.1):
        chosen = settings.replace(mine, {**values, "model.dropout": dropout})
        evaluations, result = run(chosen, here(cache))
        assert_close(numbers(evaluations), numbers(run(chosen)[0]))
        built.append(result.facts["frozen"]["built"] > 0)
    assert built == [True, False]


def test_a_text_without_a_token_has_no_state(lesson: Lesson, cache: Cache) -> None:
    mine = lesson("text-classification", "qwen2", epochs=1, frozen_layers=1)
    rows = Path(str(mine.data.path))
    header, *lines = rows.read_text().splitlines()
    said = [f"12,{line.rpartition(',')[2]}" if number % 5 == 0 else line for number, line in enumerate(lines)]
    rows.write_text("\n".join([header, *said]) + "\n")
    without, _ = run(mine)
    built, result = run(mine, here(cache))
    assert result.facts["cached"]
    assert_close(numbers(built), numbers(without))
    assert rehearsal.rehearse(mine, here(cache)).build_seconds


def test_what_is_drawn_anew_is_not_kept(lesson: Lesson, cache: Cache) -> None:
    mine = settings.replace(lesson(KIND, "vit", epochs=1, frozen_layers=2), {"training.augmentation": "flip"})
    assert not run(mine, here(cache))[1].facts["cached"]
    assert not cache.entries()


def test_other_images_and_another_processor_are_told_apart(lesson: Lesson, cache: Cache, tmp_path: Path) -> None:
    mine = lesson(KIND, "vit", epochs=1, frozen_layers=2)
    run(mine, here(cache))
    folder = tmp_path / "other"
    folder.mkdir()
    for path in Path(str(mine.model.name)).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    how = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(how | {"image_mean": [0.1, 0.2, 0.3]}))
    _, other = run(settings.replace(mine, {"model.name": str(folder)}), here(cache))
    assert other.facts["frozen"]["built"] > 0, "the same weights and pixels, read as other numbers"
    assert run(settings.replace(mine, {"training.seed": 2}), here(cache))[1].facts["frozen"]["built"] > 0
    assert run(settings.replace(mine, {"training.learning_rate": 1e-3}), here(cache))[1].facts["frozen"]["built"] == 0


def test_where_it_does_not_pay_the_log_says_so(
    lesson: Lesson, cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("objectives.worth.CPU_FLOPS", 1e15)
    with caplog.at_level(logging.INFO):
        assert not run(lesson(KIND, "resnet", epochs=1, frozen_layers=1), here(cache))[1].facts["cached"]
    assert "frozen blocks run with every batch: about" in caplog.text


def test_work_is_counted_by_weights_and_places(checkpoint: Callable[[str], Path]) -> None:
    chosen = settings.Model(name=str(checkpoint("vit")))
    model = models.load(chosen, sources.find(chosen), KIND, ("a", "b"), 0)
    found = probe.seen(model, {"pixel_values": torch.zeros(1, 3, 16, 16)})
    patches, size, wide = 16, 32, 64
    stem = 2 * patches * (3 * 4 * 4 * size)
    block = 2 * (patches + 1) * (4 * size * size + 2 * size * wide)
    assert [(depth, each.shape, each.flops) for depth, each in found.items()] == [
        (depth, (patches + 1, size), stem + depth * block) for depth in (1, 2, 3)
    ]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert len(layers.prefix(model).blocks) == 3
