"""Rows of images given to a model: each by its path, wherever the table that names it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hpo import card, inspection, predict, spec
from hpo.config import Config
from hpo.errors import HpoError, StudyError
from objectives import sources

NOTE = {"task": "image-classification", "text": "text", "label": "label", "pair": None, "pooling": "head", "clean": {}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the labelling process is asked, which answers `cat` to all."""
    questions = list[dict[str, Any]]()

    def answer(_config: Config, **question: Any) -> list[tuple[str, float]]:
        questions.append(question)
        return [("cat", 0.9)] * len(question["texts"])

    monkeypatch.setattr(predict, "asked", answer)
    return questions


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder, as far as it is looked at before it is loaded."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / sources.NOTE).write_text(json.dumps(NOTE))
    return tmp_path / "model"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with one image in it."""
    (tmp_path / "photos" / "__MACOSX").mkdir(parents=True)
    for name in ("notes.txt", "__MACOSX/b.png"):
        (tmp_path / "photos" / name).touch()
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


def test_paths_count_from_the_tables_folder(
    config: Config, model: Path, asked: list[dict[str, Any]], tmp_path: Path, photos: Path
) -> None:
    (tmp_path / "rows.csv").write_text(f"text\nphotos/a.png\n{photos}/a.png\n")
    said = predict.label(config, model, predict.rows(str(tmp_path / "rows.csv"), None, None), None)
    assert (asked[0]["texts"], asked[0]["source"]) == (["photos/a.png", f"{photos}/a.png"], str(tmp_path / "rows.csv"))
    assert said[0] == {"text": "photos/a.png", "prediction": "cat", "probability": 0.9}


@pytest.mark.parametrize("packed", [False, True])
def test_all_images_of_a_folder_or_archive(
    config: Config, model: Path, asked: list[dict[str, Any]], photos: Path, packed: bool
) -> None:
    source = shutil.make_archive(str(photos), "zip", photos) if packed else str(photos)
    for column in ("text", "photo"):  # as that of the rows that trained the model
        (model / sources.NOTE).write_text(json.dumps(NOTE | {"text": column}))
        predict.label(config, model, predict.rows(source, None, None), None)
    assert [(one["texts"], one["source"]) for one in asked] == [(["a.png"], source)] * 2


def test_images_that_cannot_be_read_are_all_named(
    config: Config, model: Path, asked: list[dict[str, Any]], photos: Path, tmp_path: Path
) -> None:
    (photos / "b.png").write_text("no image")
    (tmp_path / "rows.csv").write_text("text\nphotos/a.png\nphotos/b.png\nphotos/c.png\n")
    with pytest.raises(
        HpoError, match=r"^/.*rows\.csv, line 3: .*b\.png: is no image .*: .*rows\.csv, line 4: .*c\.png$"
    ):
        predict.label(config, model, predict.rows(str(tmp_path / "rows.csv"), None, None), None)
    assert not asked


def test_images_are_no_rows_of_a_model_of_texts(config: Config, model: Path, photos: Path) -> None:
    (model / sources.NOTE).write_text(json.dumps(NOTE | {"task": "text-classification"}))
    with pytest.raises(HpoError, match=r"photos holds images; right is a file of texts, which this model reads$"):
        predict.label(config, model, predict.rows(str(photos), None, None), None)


def test_a_folder_or_archive_without_images(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for source in (str(tmp_path / "none"), shutil.make_archive(str(tmp_path / "none"), "zip", tmp_path / "none")):
        with pytest.raises(HpoError, match=r": has no image; right are \.png"):
            predict.rows(source, None, None)


def test_a_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(HpoError, match=r"photos\.zip: is no \.zip that can be read"):
        predict.rows(str(tmp_path / "photos.zip"), None, None)


def test_a_card_says_that_a_pipeline_reads_a_path() -> None:
    said = "\n".join(card._use(NOTE))
    assert 'print(model("a/photo.png"))' in said
    assert "tokens count" not in said


def test_a_card_says_that_matrices_were_rounded() -> None:
    said = [[*card._use({**NOTE, "quantization": bits})] for bits in ("none", "8bit")]
    (more,) = set(said[1]).difference(said[0])
    assert more == "It learned beside matrices of 8bit: they are here as they were rounded, in fp32, the updates added."


@pytest.mark.parametrize(("task", "fits"), [("image-classification", True), ("multi-label-classification", False)])
def test_mistakes_are_of_rows_with_a_class_each(tmp_path: Path, task: str, fits: bool) -> None:
    file = tmp_path / "animals.yaml"
    file.write_text(
        f"study: animals\nobjective: {{task: {task}, data: rows.csv}}\n"
        "search: {training.learning_rate: {low: 1e-4, high: 1e-1, log: true}}\ntrials: 1\n"
    )
    found = spec.load(file)
    if fits:
        assert inspection._objective(found) == found.objective
        return
    with pytest.raises(StudyError, match=f"animals: {task} keeps no predictions of rows"):
        inspection._objective(found)
