"""Images: read from folders, archives and tables, made pixels and numbers, varied; their families frozen by stages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from drawings import draw, read, study
from families import IMAGES
from PIL import Image
from torch import nn

from objectives import (
    images,
    kinds,
    layers,
    models,
    settings,
    sources,
    trial,
)
from objectives.errors import ObjectiveError
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
CLASSES = ("left", "right", "none")


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _normed(inputs: int, outputs: int, kernel: int) -> int:
    """A convolution without a bias, and the scale and shift of a norm."""
    return inputs * outputs * kernel**2 + 2 * outputs


# Numbers that learn in the stem, in each stage or block and in the head, counted by hand from the papers' figures.
# ResNet (arXiv 1512.03385): blocks of two 3x3 convolutions, and a 1x1 one where width or size changes.
_RESNET = [_normed(8, 8, 3) * 2]
_RESNET += [_normed(8, 16, 3) + _normed(8, 16, 1) + 3 * _normed(16, 16, 3)]
_RESNET += [_normed(16, 32, 3) + _normed(16, 32, 1) + _normed(32, 32, 3)]


def _convnext(width: int) -> int:
    """A block (arXiv 2201.03545): 7x7 of each channel, norm, four times the width and back, a scale of each channel."""
    return 49 * width + width + 2 * width + _linear(width, 4 * width) + _linear(4 * width, width) + width


def _down(width: int) -> int:
    return 2 * width + _linear(4 * width, 2 * width)


_CONVNEXT = [_convnext(8), _down(8) + 2 * _convnext(16), _down(16) + _convnext(32)]
_VIT = 4 * _linear(32, 32) + _linear(32, 64) + _linear(64, 32) + 4 * 32


def _inverted(kernel: int, expanded: bool, width: int = 8, squeezed: int = 2) -> int:
    """EfficientNet's block (arXiv 1905.11946): widen by 6, each channel, squeeze and excite, narrow again."""
    inner = 6 * width if expanded else width
    widened = _normed(width, inner, 1) if expanded else 0
    excited = _linear(inner, squeezed) + _linear(squeezed, inner)
    return widened + _normed(1, inner, kernel) + excited + _normed(inner, width, 1)


def _residual(width: int = 8) -> int:
    """MobileNetV2's block (arXiv 1801.04381): widen by 6, each channel, narrow again."""
    return _normed(width, 6 * width, 1) + _normed(1, 6 * width, 3) + _normed(6 * width, width, 1)


_EFFICIENT = [_inverted(3, False)]
_EFFICIENT += [count * _inverted(kernel, True) for count, kernel in ((1, 3), (1, 5), (1, 3), (1, 5), (2, 5), (1, 3))]
_MOBILE_STEM = _normed(3, 8, 3) + _normed(1, 8, 3) + _normed(8, 8, 1)
PARTS = {
    "convnext": (3 * 4 * 8 + 8 + 2 * 8, _CONVNEXT, 2 * 32 + _linear(32, 3)),
    "efficientnet": (_normed(3, 8, 3), _EFFICIENT, _normed(8, 32, 1) + _linear(32, 3)),
    "mobilenet_v2": (_MOBILE_STEM, [n * _residual() for n in (2, 3, 4, 3, 3, 1)], _normed(8, 32, 1) + _linear(32, 3)),
    "resnet": (_normed(3, 8, 7), _RESNET, _linear(32, 3)),
    "vit": (_linear(3 * 16, 32) + 32 + 17 * 32, 3 * [_VIT], 2 * 32 + _linear(32, 3)),
}
DEPTHS = [(family, depth) for family, (_, blocks, _) in PARTS.items() for depth in range(len(blocks) + 1)]


def _load(folder: Path, **chosen: Any) -> Any:
    model = Model(name=str(folder), **chosen)
    return models.load(model, sources.find(model), "image-classification", CLASSES, 0)


@pytest.mark.parametrize(("family", "depth"), DEPTHS)
def test_freezes_the_stem_and_the_first_stages(checkpoint: Checkpoint, family: str, depth: int) -> None:
    stem, blocks, head = PARTS[family]
    model = _load(checkpoint(family))
    layers.freeze(model, depth)
    assert layers.trainable_parameters(model) == head + sum(blocks[depth:]) + (0 if depth else stem)
    assert layers.total_parameters(model) == stem + sum(blocks) + head


def test_every_family_of_images_is_tested() -> None:
    assert {name for name, family in layers.FAMILIES.items() if family.images} == PARTS.keys() == IMAGES.keys()


@pytest.mark.parametrize("family", PARTS)
def test_stages_are_in_order_of_depth(checkpoint: Checkpoint, family: str) -> None:
    model, seen = _load(checkpoint(family)), list[nn.Module]()
    blocks = [
        part for one in layers.prefix(model).blocks for part in (one if isinstance(one, nn.ModuleList) else [one])
    ]
    for block in blocks:
        block.register_forward_hook(lambda module, *_: seen.append(module))
    model(pixel_values=torch.zeros(1, 3, _side(family), _side(family)))
    assert list(map(id, seen)) == list(map(id, blocks))


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("family", ["resnet", "efficientnet", "mobilenet_v2"])
def test_running_means_of_frozen_stages_stay(checkpoint: Checkpoint, family: str, dropout: bool) -> None:
    model = _load(checkpoint(family))
    layers.freeze(model, 2)
    layers.train_mode(model, dropout)
    before = {name: value.clone() for name, value in model.named_buffers() if "running_var" in name}
    model(pixel_values=torch.randn(4, 3, 2 * _side(family), 2 * _side(family)))
    frozen = {id(value) for part in _frozen(model, 2) for value in part.buffers()}
    for name, value in model.named_buffers():
        if name in before:
            assert torch.equal(before[name], value) == (id(value) in frozen), name


def _frozen(model: Any, depth: int) -> tuple[nn.Module, ...]:
    parts = layers.prefix(model)
    return (*parts.stem, *parts.blocks[:depth])


def _side(family: str) -> int:
    return 16 if family == "vit" else 32


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    return draw(tmp_path / "images")


def test_dropout_of_a_family_without(checkpoint: Checkpoint) -> None:
    with pytest.raises(ObjectiveError, match=r"model\.dropout: resnet has no dropout to set; remove the setting"):
        _load(checkpoint("resnet"), dropout=0.1)
    assert _load(checkpoint("efficientnet"), dropout=0.4).dropout.p == 0.4


@pytest.mark.parametrize(
    ("family", "adapter", "said"),
    [
        ("resnet", "lora", "lora stands beside linear layers, and the blocks of resnet have none; right is none, with"),
        ("resnet", "prefix", "prefix is virtual tokens beside those of a text, and image-classification reads images"),
        ("vit", "prompt", "prompt is virtual tokens .* reads images; right is none, or lora where blocks have linear"),
    ],
)
def test_an_adapter_that_images_cannot_have_is_refused_with_what_can(
    drawn: Path, checkpoint: Checkpoint, family: str, adapter: str, said: str
) -> None:
    chosen = settings.replace(study(drawn, checkpoint(family)), {"model.adapter": adapter})
    with pytest.raises(ObjectiveError, match=f"model.adapter: {said}"):
        trial.prepare(chosen)


@pytest.mark.parametrize("family", PARTS)
def test_pixels_and_numbers_are_the_processors_own(checkpoint: Checkpoint, family: str, tmp_path: Path) -> None:
    draw = numpy.random.default_rng(5)
    image = Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=numpy.uint8))
    image.save(tmp_path / "one.png")
    processor = transformers.AutoImageProcessor.from_pretrained(checkpoint(family))
    expected = processor(image, return_tensors="pt")["pixel_values"]
    sight = images.sight(processor)
    pixels = sight.pixels((tmp_path / "one.png").read_bytes())
    assert pixels.dtype == torch.uint8
    torch.testing.assert_close(sight.numbers([pixels]), expected.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["convnext", "efficientnet", "mobilenet_v2", "resnet"])
def test_image_size(drawn: Path, checkpoint: Checkpoint, family: str) -> None:
    rows = read(study(drawn, checkpoint(family), image_size=48))
    assert {tuple(row.about.shape) for row in [*rows.train, *rows.valid]} == {(3, 48, 48)}


def test_image_size_that_a_model_has_no_positions_for(drawn: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(ObjectiveError, match=r"data\.image_size: 48, and .* has positions for images of 16 pixels"):
        read(study(drawn, checkpoint("vit"), image_size=48))


def test_a_photograph_is_turned_upright(tmp_path: Path, checkpoint: Checkpoint) -> None:
    image = Image.new("L", (16, 16), 0)
    image.paste(255, (0, 0, 8, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = images.sight(transformers.AutoImageProcessor.from_pretrained(checkpoint("vit"))).pixels(
        (tmp_path / "turned.png").read_bytes()
    )
    assert pixels[0, :8].min() == 255
    assert pixels[0, 8:].max() == 0


def test_flip_mirrors_some() -> None:
    torch.manual_seed(1)
    plain = torch.arange(16.0).view(1, 1, 2, 8).repeat(40, 1, 1, 1)
    varied = images.varied(plain, "flip")
    mirrored = [torch.equal(row, plain[0].flip(-1)) for row in varied]
    assert 5 < sum(mirrored) < 35
    assert all(turned or torch.equal(row, plain[0]) for turned, row in zip(mirrored, varied, strict=True))


def test_crop_shifts_by_up_to_an_eighth_and_draws_out_the_edge() -> None:
    torch.manual_seed(1)
    plain = torch.arange(16.0).expand(60, 2, 16, 16)
    seen = {tuple(row[0, 0].tolist()) for row in images.varied(plain, "crop")}
    assert seen == {tuple(float(min(max(x + by, 0), 15)) for x in range(16)) for by in range(-2, 3)}


def test_images_vary_alike_at_once_and_in_parts() -> None:
    """So that memory that runs out does not change what is learned."""
    plain, drawn = torch.rand(20, 3, 16, 24), []
    for rows in (20, 7):
        torch.manual_seed(1)
        drawn.append(torch.cat([images.varied(part, "flip_crop") for part in plain.split(rows)]))
    assert torch.equal(*drawn)


def test_augmentation_follows_from_the_seed_and_leaves_evaluation_alone(
    drawn: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = list[int]()
    vary = images.varied
    monkeypatch.setattr(images, "varied", lambda some, how: counted.append(len(some)) or vary(some, how))

    def losses(augmentation: str) -> list[float]:
        chosen = settings.replace(
            study(drawn, checkpoint("vit"), split={"valid": 4, "test": 0}),
            {"training.augmentation": augmentation, "training.seed": 3, "training.epochs": 2, "training.batch_size": 4},
        )
        seen = list[Any]()
        trial.run(chosen, seen.append)
        return [one.metrics["train_loss"] for one in seen]

    assert losses("flip_crop") == losses("flip_crop") != losses("none")
    assert sum(counted) == 2 * 2 * 8  # two trainings of two epochs of eight rows


@pytest.mark.parametrize(
    ("address", "value"),
    [("model.pooling", "mean"), ("data.pair", "other"), ("data.max_length", 64), ("data.clean.strip_html", True)],
)
def test_settings_of_texts_mean_nothing_to_images(drawn: Path, address: str, value: Any) -> None:
    chosen = settings.replace(study(drawn, drawn), {address: value})
    with pytest.raises(ObjectiveError, match=f"{address}: image-classification has no such setting; remove it"):
        kinds.check(chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize(("address", "value"), [("data.image_size", 32), ("training.augmentation", "flip")])
def test_settings_of_images_mean_nothing_to_texts(address: str, value: Any) -> None:
    chosen = settings.replace(settings.parse({"task": "text-classification", "data": "rows.csv"}), {address: value})
    with pytest.raises(ObjectiveError, match=f"{address}: text-classification has no such setting; remove it"):
        kinds.check(chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_a_pipeline_of_transformers_says_the_same(drawn: Path, checkpoint: Checkpoint, family: str) -> None:
    chosen = study(drawn, checkpoint(family), split={"valid": 2, "test": 2}, score="test")
    training = {"training.epochs": 2, "training.seed": 1, "training.batch_size": 4}
    seen = list[Any]()
    trial.run(settings.replace(chosen, training), seen.append)
    paths = sorted(map(str, drawn.glob("*/*.png")))
    seen[-1].model(drawn / "model")
    own = trial.predict(drawn / "model", paths)
    packed = shutil.make_archive(str(drawn / "packed"), "zip", drawn)
    names = [str(Path(path).relative_to(drawn)) for path in paths]
    assert trial.predict(drawn / "model", names, source=packed) == own
    assert trial.predict(drawn / "model", names, source=str(drawn / "rows.csv")) == own
    said = transformers.pipeline("image-classification", model=str(drawn / "model"), device=-1)(paths, top_k=1)
    assert [one.label for one in own] == [one["label"] for (one,) in said]
    assert [one.probability for one in own] == pytest.approx([one["score"] for (one,) in said], abs=1e-5)
    assert len({one.probability for one in own}) > 2
