"""Models by domains: which folders are models, which rows are right for them, and what wrong uses say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pets
import pytest

from hpo import domains, spec
from hpo.cli.domains import Matrix, plain, say
from hpo.config import Config
from hpo.domains import Cell, Domain
from hpo.errors import HpoError
from hpo.intervals import Interval
from hpo.store import open_store

Run = Callable[..., Any]
NOTE = {"task": "text-classification", "text": "title", "label": "topic", "classes": ["neg", "pos"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What tells a model's folder from others."""
    path = tmp_path / "models" / "pets"
    path.mkdir(parents=True)
    (path / "hpo.json").write_text(json.dumps(NOTE))
    return path


def test_a_folder_is_a_model_by_its_note(folder: Path, tmp_path: Path) -> None:
    assert domains.is_model(str(folder))
    assert not domains.is_model("pets")
    found = domains.of_folder(folder)
    assert (found.name, found.text, found.label, found.known) == ("pets", "title", "topic", None)
    (folder / "hpo.json").write_text(json.dumps(NOTE | {"task": "pairs"}))
    with pytest.raises(HpoError, match="pets: is of the task pairs; --on is for text-classification of one text"):
        domains.of_folder(folder)
    (folder / "hpo.json").write_text("{")
    with pytest.raises(HpoError, match="is no model folder that hpo promote wrote"):
        domains.of_folder(folder)


def test_a_file_is_read_by_the_columns_of_the_training(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("title,topic\na,pos\nb,neg\n")
    found = domains.of_file(str(file), domains.of_folder(folder))
    assert (found.name, list(found.texts), list(found.labels)) == ("more.csv", ["a", "b"], ["pos", "neg"])
    file.write_text("title,kind\na,pos\n")
    with pytest.raises(HpoError, match=r"more.csv: has no column 'topic', as the rows of pets had; found title, kind"):
        domains.of_file(str(file), domains.of_folder(folder))


def test_a_model_whose_classes_are_others_is_not_asked(config: Config, folder: Path) -> None:
    with pytest.raises(HpoError, match="pets predicts neg, pos, and --on zoo has cat, dog"):
        domains.crossed(config, [domains.of_folder(folder)], [Domain("zoo", ["a", "b"], ["dog", "cat"])])


def test_wrong_uses_end_in_one_line(run: Run, config: Config, folder: Path, tmp_path: Path) -> None:
    pets.save(tmp_path)
    with open_store(config) as store:
        store.create(spec.load(tmp_path / "pets.yaml"), "f")
    assert "is a model's folder; --on STUDY or FILE names the rows" in run("compare", str(folder)).err
    assert "--baseline is for studies on their own" in run("compare", "a", "--on", "b", "--baseline", "tfidf").err
    assert "pets has no predictions on its test rows: hpo promote" in run("compare", "pets", "--on", "pets").err
    said = run("compare", str(folder), "--on", "pets")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "pets: the rows are not those that it was made with; put the same files back" in said.err
    (tmp_path / "toy.csv").write_text("title,topic\na,pos\n")
    file = str(tmp_path / "toy.csv")
    assert "two of the models are called pets" in run("compare", str(folder), f"{folder}/../pets", "--on", file).err


MATRIX = Matrix(
    "accuracy",
    ["films", "旅馆"],
    ["films", "hotels"],
    [
        Cell(model, domain, 40, seen, {"accuracy": Interval(mean, mean - 0.1, mean + 0.05)})
        for model, domain, mean, seen in [
            ("films", "films", 0.9, 0),
            ("films", "hotels", 0.7, 2),
            ("旅馆", "films", 0.6, None),
            ("旅馆", "hotels", 0.8, 0),
        ]
    ],
)


def test_a_matrix_has_a_row_a_model_and_a_column_a_domain(capsys: pytest.CaptureFixture[str]) -> None:
    say(MATRIX, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["trained", "films", "旅馆"]
    assert "0.900 (0.800 to 0.950)  0.700 (0.600 to 0.750)" in lines[1]
    assert "accuracy on test rows (40 of films, 40 of hotels)" in lines[4]
    assert lines[5:] == ["2 of the rows of hotels have a text that films was trained on."]
    assert plain(MATRIX)["cells"][2] == {
        "model": "旅馆",
        "domain": "films",
        "rows": 40,
        "seen": None,
        "measures": {"accuracy": {"mean": 0.6, "low": 0.5, "high": 0.65}},
    }


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_a_heat_map_names_all_of_them(tmp_path: Path, suffix: str) -> None:
    from hpo.plots import heat

    out = tmp_path / f"heat{suffix}"
    values = [cell.measures["accuracy"] for cell in MATRIX.cells]
    heat.save(out, "accuracy", MATRIX.models, MATRIX.domains, values)
    if suffix == ".png":
        assert out.read_bytes().startswith(b"\x89PNG")
        return
    text = out.read_text("utf-8")
    assert all(part in text for part in ("旅馆", "hotels", "accuracy of models by domains", "0.700", "0.600 to 0.750"))
