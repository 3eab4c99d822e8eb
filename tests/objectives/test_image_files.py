"""Images as files: of folders, archives and tables, those that cannot be read, and what is looked at before a study."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from drawings import draw, read, study
from PIL import Image

from objectives import folders, kinds, odd, rehearsal, settings, survey
from objectives.errors import ObjectiveError
from objectives.host import Host

Checkpoint = Callable[[str], Path]


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    return draw(tmp_path / "images")


def test_a_folder_has_a_folder_for_each_class(drawn: Path) -> None:
    (drawn / "README.txt").write_text("of no class")
    (drawn / "dark" / ".hidden").write_text("of no concern")
    (drawn / "light" / "more").mkdir()
    shutil.copy(drawn / "light" / "0.png", drawn / "light" / "more" / "deep.png")
    table = folders.read(str(drawn))
    assert [*table.column("text")][:2] == ["dark/0.png", "dark/1.png"]
    assert dict(zip(*table.columns.values(), strict=True))["light/more/deep.png"] == "light"
    assert len(table) == 13


def test_links_to_folders_are_followed_but_not_back_up(drawn: Path, tmp_path: Path) -> None:
    (drawn / "light").rename(tmp_path / "elsewhere")
    (drawn / "light").symlink_to(tmp_path / "elsewhere")
    (drawn / "dark" / "up").symlink_to(drawn)
    (drawn / "dark" / "gone").symlink_to(tmp_path / "nowhere")
    (drawn / "lost+found").mkdir()
    (drawn / "lost+found" / "x.txt").touch()
    assert [*folders.read(str(drawn)).column("text")] == [
        f"{name}/{number}.png" for name in ("dark", "light") for number in range(6)
    ]


def test_an_archive_holds_the_same(drawn: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "images")
    table, plain = folders.read(packed), folders.read(str(drawn))
    assert table.column("label") == plain.column("label")
    assert table.column("text") == [f"images/{name}" for name in plain.column("text")]
    assert [*folders.images(table, "text", "data.path")] == [*folders.images(plain, "text", "data.path")]


def test_images_without_classes_are_listed(drawn: Path) -> None:
    (drawn / "dark" / "notes.txt").write_text("no image")
    assert folders.listed(str(drawn / "dark"), "FILE").columns == {"text": [f"{number}.png" for number in range(6)]}
    (drawn / "empty").mkdir()
    with pytest.raises(ObjectiveError, match=r"empty: has no image; right are \.png, "):
        folders.listed(str(drawn / "empty"), "FILE")


@pytest.mark.parametrize("packed", [False, True])
def test_the_fingerprint_is_over_all_bytes(drawn: Path, tmp_path: Path, packed: bool) -> None:
    def found() -> str:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", drawn)) if packed else drawn
        chosen = study(path, drawn)
        return kinds.fingerprint(chosen.task, chosen.data)

    first = found()
    assert found() == first
    Image.new("L", (20, 14), 7).save(drawn / "dark" / "0.png")
    assert found() != first


def test_the_fingerprint_of_a_table_is_over_its_images_too(drawn: Path) -> None:
    table = drawn / "rows.csv"
    table.write_text("text,label\ndark/0.png,dark\nlight/0.png,light\n")
    chosen = study(table, drawn)
    first = kinds.fingerprint(chosen.task, chosen.data)
    Image.new("L", (20, 14), 7).save(drawn / "light" / "0.png")
    changed = kinds.fingerprint(chosen.task, chosen.data)
    table.write_text("text,label\ndark/0.png,light\nlight/0.png,light\n")
    assert len({first, changed, kinds.fingerprint(chosen.task, chosen.data)}) == 3


def _png(pixels: Any) -> bytes:
    """A file of these grey pixels [height, width]."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dark/9.png", b"no image", "images/dark/9.png: is no image that can be read (cannot identify image file)"),
        ("dark/9.heic", b"", "images/dark/9.heic: is no image by its name; right is one of .png, .jpg"),
        ("dark/9.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "images/dark/9.png: is no image that can be read"),
        ("rows.csv", b"text,label\ndark/0.png,a\ndark/no.png,b\n", "dark/no.png: no such image; paths count from"),
        ("rows.csv", b"text,label\n" + b"rows.csv,a\ndark/1.png,b\n" * 3, "line 2: /"),
        ("rows.zip", b"PK", "rows.zip: is no .zip that can be read (File is not a zip file); copy it again"),
    ],
)
def test_images_that_cannot_be_read(drawn: Path, checkpoint: Checkpoint, name: str, content: bytes, said: str) -> None:
    (drawn / name).write_bytes(content)
    path = drawn / name if name.startswith("rows") else drawn
    with pytest.raises(ObjectiveError) as caught:
        read(study(path, checkpoint("vit"), split={"valid": 2, "test": 0}))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_png(numpy.full((14, 20), 300, "uint16")), "its greys have more than 8 bits, which would turn white or black"),
        (_png(numpy.full((30, 30), 255, "uint8")), "it has more than 800 pixels: make it smaller"),
        (b"DDS \x7c\0\0\0" + b"\1" * 200, "Unknown pixel format flags"),
    ],
    ids=["deep", "large", "of a kind that Pillow reads in part"],
)
def test_images_that_would_be_others_or_end_the_trial(
    drawn: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    (drawn / "dark" / "9.png").write_bytes(content)
    with pytest.raises(ObjectiveError, match=rf"dark/9\.png: is no image that can be read \({said}") as caught:
        read(study(drawn, checkpoint("vit"), split={"valid": 2, "test": 0}))
    assert "\n" not in str(caught.value)


def test_greys_of_many_bits_that_are_of_eight_are_read(drawn: Path, checkpoint: Checkpoint) -> None:
    (drawn / "dark" / "9.png").write_bytes(_png(numpy.full((14, 20), 255, "uint16")))
    assert read(study(drawn, checkpoint("vit"), split={"valid": 2, "test": 0}))


def test_of_a_cell_that_is_no_path_little_is_said(tmp_path: Path) -> None:
    table = folders.Table({"text": ['{"bytes": "' + "x" * 10_000]}, str(tmp_path / "rows.csv"))
    with pytest.raises(ObjectiveError, match=r'"bytes": "x+\.\.\.: ') as caught:
        next(folders.images(table, "text", "data.text"))
    assert len(str(caught.value)) < 1000


def test_a_folder_without_classes(drawn: Path) -> None:
    with pytest.raises(ObjectiveError, match="dark: has no class; right is a folder for each class, with images in it"):
        folders.read(str(drawn / "dark"))


def test_a_dry_run_and_a_survey_read_no_words(drawn: Path, checkpoint: Checkpoint) -> None:
    chosen = settings.replace(study(drawn, checkpoint("resnet")), {"training.seed": 1, "training.batch_size": 4})
    found = rehearsal.rehearse(chosen, Host("cpu", 1))  # type: ignore[arg-type]
    assert found.steps == 6
    assert found.seconds["train"] > 0
    looked = survey.survey(chosen, 1)  # type: ignore[arg-type]
    assert looked.measures["rows"] == {"train": 8, "valid": 2, "test": 2}
    assert [name for name in looked.measures if "token" in name or "near" in name or "texts" in name] == []
    assert odd.find(chosen, 1).looked == 0  # type: ignore[arg-type]


def test_a_survey_compares_images_and_not_their_names(drawn: Path, checkpoint: Checkpoint) -> None:
    for number in range(6, 12):
        shutil.copy(drawn / "dark" / "0.png", drawn / "light" / f"{number}.png")
    looked = survey.survey(study(drawn, checkpoint("resnet")), 1)
    assert sum(looked.measures["images that stood before"].values()) >= 4  # type: ignore[arg-type]
    assert "1 image with more than one label: no model can be right on all" in looked.advice
    (line,) = (line for line in looked.advice if "also in train" in line)
    assert line.endswith("to validate or test on also in train: remove them from one of the two")
