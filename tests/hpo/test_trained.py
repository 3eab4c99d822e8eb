"""Models in a folder or behind a URL: whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import HpoError
from hpo.trained import Models


def write(folder: Path, text: str = "weights") -> None:
    (folder / "model.safetensors").write_text(text)
    (folder / "hpo.json").write_text("{}")
    (folder / "inside" / "deep").mkdir(parents=True)
    (folder / "inside" / "deep" / "more.safetensors").write_text(text)


@pytest.fixture(params=["{tmp}/models", "memory://models-{name}"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Models:
    return Models(request.param.format(tmp=tmp_path, name=tmp_path.name))


def test_what_was_saved_is_fetched(models: Models, tmp_path: Path) -> None:
    models.save(7, 1, write)
    models.save(7, 2, lambda folder: write(folder, "later"))
    models.fetch(7, tmp_path)
    assert (tmp_path / "model.safetensors").read_text() == "later"
    assert (tmp_path / "inside" / "deep" / "more.safetensors").read_text() == "later"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["hpo.json", "model.safetensors"]
    models.clear()
    with pytest.raises(HpoError, match="no model is there"):
        models.fetch(7, tmp_path)


def test_a_place_is_named_without_what_logs_in(tmp_path: Path) -> None:
    with pytest.raises(HpoError, match=r"^memory://none/7: no model is there"):
        Models("memory://me:secret@none").fetch(7, tmp_path)


def test_a_save_that_fails_leaves_nothing(models: Models, tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        write(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        models.save(7, 1, full)
    with pytest.raises(HpoError, match="no model is there"):
        models.fetch(7, tmp_path)


def test_half_a_model_is_passed_over_for_a_whole_one(tmp_path: Path) -> None:
    models = Models(str(tmp_path / "models"))
    models.save(7, 1, write)
    (tmp_path / "models" / "7" / "0002").mkdir()
    (tmp_path / "models" / "7" / "0002" / "model.safetensors").write_text("half")
    models.fetch(7, tmp_path)
    assert (tmp_path / "model.safetensors").read_text() == "weights"


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    models = Models(str(tmp_path / "models"))
    models.save(7, 1, write)
    (tmp_path / "models" / "7" / "0001" / "model.safetensors").write_text("weird")
    with pytest.raises(HpoError, match="is damaged"):
        models.fetch(7, tmp_path)
