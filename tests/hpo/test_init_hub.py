"""`hpo init` for a data set of the hub, read through `datasets` from a hub of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakehub import Hub
from PIL import Image

from hpo import init
from hpo.errors import HpoError

Init = Callable[..., subprocess.CompletedProcess[str]]
CARD = "---\nconfigs:\n- config_name: default\n  data_files:\n{files}\n---\n"
PARTS = "  - split: {split}\n    path: data/{split}.parquet"


def publish(hub: Hub, name: str, folder: Path, **splits: int) -> None:
    """Put a data set of texts in three named classes on the hub, with so many rows in each split."""
    import datasets

    features = datasets.Features(
        {
            "label-text": datasets.Value("string"),
            "text": datasets.Value("string"),
            "topic": datasets.ClassLabel(names=["world", "sports", "business"]),
        }
    )
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD.format(files="\n".join(PARTS.format(split=split) for split in splits)))
    for split, rows in splits.items():
        topics = [row % 3 for row in range(rows)]
        texts = [f"the {split} film was number {row} of all films that there were" for row in range(rows)]
        columns = {"label-text": [f"t{topic}" for topic in topics], "text": texts, "topic": topics}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "data" / f"{split}.parquet")
    hub.datasets[name] = folder


def publish_rows(hub: Hub, name: str, folder: Path, rows: list[dict[str, Any]], **features: Any) -> None:
    """Put a data set of these rows on the hub, as its training rows."""
    import datasets

    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD.format(files=PARTS.format(split="train")))
    made = datasets.Dataset.from_list(rows, features=datasets.Features(features) if features else None)
    made.to_parquet(folder / "data" / "train.parquet")
    hub.datasets[name] = folder


@pytest.fixture
def start(fake_hub: Hub, hpo: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Init:
    """`hpo init` with a cache of the hub's of its own, writing to `out.yaml`."""

    def start(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        out = ["-o", str(tmp_path / "out.yaml"), "--force"]
        return hpo("init", *words, *out, check=False, **(fake_hub.environ(tmp_path / "hf") | environ))

    return start


@pytest.mark.parametrize(
    ("splits", "split"),
    [
        ({"train": 120, "validation": 30, "test": 30}, None),
        ({"train": 120, "test": 30}, {"valid": 0.25}),
        ({"train": 120}, {"valid": 0.25, "test": 0.25}),
    ],
)
def test_columns_and_splits_are_guessed(
    start: Init, fake_hub: Hub, tmp_path: Path, splits: dict[str, int], split: dict[str, float] | None
) -> None:
    publish(fake_hub, "acme/news", tmp_path / "set", **splits)
    done = start("acme/news")
    assert done.returncode == 0, done.stderr
    counted = ", ".join(f"{name} {rows}" for name, rows in splits.items())
    text = (tmp_path / "out.yaml").read_text()
    assert f"# a data set of the hub; rows: {counted}\n" in text
    study = yaml.safe_load(text)
    data = study["objective"]["data"]
    assert study["study"] == "news"
    assert (data["hub"], data["text"], data["label"]) == ("acme/news", "text", "topic")
    assert data.get("split") == split
    assert "3 classes: world 33%, sports 33%, business 33%" in text


def test_questions_of_the_hub_are_told_by_their_columns(start: Init, fake_hub: Hub, tmp_path: Path) -> None:
    context = "the film of number {} was made by hand"
    answers = {"text": ["by hand"], "answer_start": [context.format(10).index("by hand")]}
    rows = [
        {"id": f"q{row}", "title": "films", "context": context.format(row + 10), "question": f"how is {row} made?"}
        | {"answers": answers}
        for row in range(60)
    ]
    publish_rows(fake_hub, "acme/asked", tmp_path / "set", rows)
    done = start("acme/asked")
    assert done.returncode == 0, done.stderr
    study = yaml.safe_load((tmp_path / "out.yaml").read_text())
    found = study["objective"]["data"]
    assert study["objective"]["task"] == "question-answering"
    assert [found[name] for name in ("text", "pair", "label")] == ["question", "context", "answers"]


def test_lists_of_named_tags_of_the_hub_are_told(start: Init, fake_hub: Hub, tmp_path: Path) -> None:
    from datasets import ClassLabel, List, Value

    rows = [{"tokens": ["the", f"n{row}", "ran"], "ner_tags": [0, 1 + row % 2, 0]} for row in range(60)]
    tags = List(ClassLabel(names=["O", "B-PER", "B-LOC"]))
    publish_rows(fake_hub, "acme/named", tmp_path / "set", rows, tokens=List(Value("string")), ner_tags=tags)
    done = start("acme/named")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out.yaml").read_text()
    assert yaml.safe_load(text)["objective"]["task"] == "token-classification"
    assert "2 types of entities: LOC, PER" in text


def test_a_data_set_that_is_not_there_is_one_line(start: Init, fake_hub: Hub, tmp_path: Path) -> None:
    publish(fake_hub, "acme/closed", tmp_path / "set", train=30)
    fake_hub.gated.add("acme/closed")
    for name, said in (
        ("acme/none", f"cannot load 'acme/none': {fake_hub.url} has no such data set, or it is private: hf auth login"),
        ("hub:none", "cannot load 'none': "),
        ("acme/closed", f"cannot load 'acme/closed': it is gated; accept its terms at {fake_hub.url}/datasets/acme/cl"),
    ):
        done = start(name, HF_TOKEN="hf_aWrongSecret")
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {said}"), done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "Secret" not in done.stderr


def test_a_column_of_images_is_to_be_classified(start: Init, fake_hub: Hub, tmp_path: Path) -> None:
    import datasets

    shades = {name: tmp_path / f"{name}.png" for name in ("dark", "light")}
    for value, path in enumerate(shades.values()):
        Image.new("L", (8, 8), 200 * value).save(path)
    names = [*shades] * 15
    photos = [{"bytes": shades[name].read_bytes(), "path": None} for name in names]
    rows = [{"photo": photo, "kind": name, "note": len(name) % 2} for photo, name in zip(photos, names, strict=True)]
    kinds, note = datasets.ClassLabel(names=[*shades]), datasets.Value("int64")
    publish_rows(fake_hub, "acme/shades", tmp_path / "set", rows, photo=datasets.Image(), kind=kinds, note=note)
    done = start("acme/shades")
    assert done.returncode == 0, done.stderr
    objective = yaml.safe_load((tmp_path / "out.yaml").read_text())["objective"]
    assert objective["task"] == "image-classification"
    assert {name: objective["data"][name] for name in ("hub", "text", "label")} == {
        "hub": "acme/shades",
        "text": "photo",
        "label": "kind",
    }


def test_what_is_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    assert [init.is_hub(name) for name in ("hub:imdb", "fancyzhx/ag_news", "org/set-v1.5")] == [True] * 3
    names = ("rows.csv", "imdb", "org/rows.csv", "rows/missing", "/org/set", "s3://org/set", "./org/set")
    assert [init.is_hub(name) for name in names] == [False] * len(names)


def test_options_of_the_one_are_refused_for_the_other(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n")
    with pytest.raises(HpoError, match="--config belongs to a data set of the hub"):
        init.draft(str(file), config="plain")
    with pytest.raises(HpoError, match="--encoding and --delimiter belong to files"):
        init.draft("hub:imdb", encoding="utf-8")
    with pytest.raises(HpoError, match="--encoding: 'utf-88' is no encoding that Python knows; did you mean"):
        init.draft(str(file), encoding="utf-88")


def test_a_file_is_read_as_the_options_say(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = [f"das schöne Buch Nummer {row} von allen|{'gut' if row % 2 else 'übel'}" for row in range(40)]
    file.write_text("\n".join(["text|label", *rows]), "cp1250")
    made = init.draft(str(file), tmp_path / "out.yaml", encoding="cp1250", delimiter="|")
    init.write(made)
    data = yaml.safe_load((tmp_path / "out.yaml").read_text())["objective"]["data"]
    assert (data["encoding"], data["delimiter"], data["label"]) == ("cp1250", "|", "label")
    assert set(made.label.counts) == {"gut", "übel"}
