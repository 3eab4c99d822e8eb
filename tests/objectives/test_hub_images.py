"""Images of a data set on a hub: read from where they lie in it, as those of a folder are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from objectives import folders, kinds, published, settings, trial
from objectives.errors import DataError

Checkpoint = Callable[[str], Path]
CLASSES = ("dark", "light")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A folder of two classes with eight images each."""
    for name, value in zip(CLASSES, (40, 210), strict=True):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (20, 16), (value, 10 * number, 0)).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def hub(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same as a data set, whose parquet file holds the images; `datasets` itself reads it."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    paths = sorted(drawn.glob("*/*.png"))
    features = datasets.Features(
        {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=[*CLASSES]), "said": datasets.Value("string")}
    )
    columns = {
        "photo": [{"bytes": path.read_bytes(), "path": path.name} for path in paths],
        "kind": [path.parent.name for path in paths],
        "said": [path.parent.name for path in paths],
    }
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "set" / "train.parquet")
    return str(tmp_path / "set")


def study(hub: str, checkpoint: Path, **more: Any) -> Any:
    columns = {"hub": hub, "text": "photo", "label": "kind", "split": {"valid": 4, "test": 2}}
    return settings.parse(
        {
            "task": "image-classification",
            "model": str(checkpoint),
            "data": columns | more,
            "training": {"epochs": 1, "batch_size": 4, "seed": 1},
        }
    )


def test_they_are_those_that_were_put_there(hub: str, drawn: Path, checkpoint: Checkpoint) -> None:
    chosen = study(hub, checkpoint("resnet"))
    splits = kinds.load(chosen.task, chosen.data, 1, test=True)
    assert (len(splits.train), len(splits.valid), len(splits.test or ())) == (10, 4, 2)
    paths = sorted(drawn.glob("*/*.png"))
    bytes_of = [path.read_bytes() for path in paths]
    shutil.rmtree(drawn)
    for cell, label, file in zip(
        *splits.train.columns.values(), folders.images(splits.train, "photo", "x"), strict=True
    ):
        place = int(cell.removeprefix("train/").removesuffix(".image"))
        assert (file, label) == (bytes_of[place], paths[place].parent.name)


def test_they_are_learned_as_those_of_a_folder(hub: str, drawn: Path, checkpoint: Checkpoint) -> None:
    there = study(hub, checkpoint("resnet"))
    here = settings.replace(
        there, {"data.hub": None, "data.path": str(drawn), "data.text": "text", "data.label": "label"}
    )
    losses = []
    for chosen in (there, here):
        seen: list[Any] = []
        result = trial.run(chosen, seen.append)
        losses.append(seen[-1].metrics["val_loss"])
        assert result.facts["rows"] == {"train": 10, "valid": 4}
    assert losses[0] == losses[1]


def test_the_fingerprint_is_the_data_set_s(hub: str, checkpoint: Checkpoint) -> None:
    chosen = study(hub, checkpoint("resnet"))
    first = kinds.fingerprint(chosen.task, chosen.data)
    assert first == kinds.fingerprint(chosen.task, chosen.data)
    rows = datasets.load_dataset(hub)["train"].select(range(12))
    rows.to_parquet(Path(hub) / "train.parquet")
    assert first != kinds.fingerprint(chosen.task, chosen.data)


@pytest.mark.parametrize(
    ("task", "columns", "said"),
    [
        ("text-classification", {}, "data.text: .*, train: column 'photo' holds images; right is texts, classes or"),
        (
            "image-classification",
            {"text": "said"},
            "data.text: .*, train: column 'said' holds no images; right is a co",
        ),
    ],
)
def test_columns_that_are_not_what_the_task_reads(
    hub: str, checkpoint: Checkpoint, task: str, columns: dict[str, str], said: str
) -> None:
    chosen = settings.replace(study(hub, checkpoint("resnet"), **columns), {"task.kind": task})
    with pytest.raises(DataError, match=said):
        kinds.load(chosen.task, chosen.data, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("feature", "put"),
    [
        (datasets.List(datasets.Image()), lambda file: [{"bytes": file, "path": None}]),
        ({"front": datasets.Image()}, lambda file: {"front": {"bytes": file, "path": None}}),
        (datasets.Value("binary"), lambda file: file),
        (datasets.Audio(), lambda file: {"bytes": file, "path": None}),
    ],
    ids=["lists", "groups", "bytes", "sound"],
)
def test_files_within_others_are_no_texts(
    hub: str, drawn: Path, checkpoint: Checkpoint, feature: Any, put: Callable[[bytes], Any]
) -> None:
    features = datasets.Features({"photo": feature, "kind": datasets.ClassLabel(names=[*CLASSES])})
    paths = sorted(drawn.glob("*/*.png"))
    rows = [{"photo": put(path.read_bytes()), "kind": CLASSES.index(path.parent.name)} for path in paths]
    pq.write_table(pa.Table.from_pylist(rows, features.arrow_schema), Path(hub) / "train.parquet")
    chosen = settings.replace(study(hub, checkpoint("resnet")), {"task.kind": "text-classification"})
    with pytest.raises(DataError, match=r"data\.text: .*, train: column 'photo' holds files, or images within others"):
        kinds.load(chosen.task, chosen.data, 1)
    assert [*published.published(chosen.data).table.columns] == ["kind"]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"bytes": b"no image", "path": None}, r"is no image that can be read"),
        ({"bytes": None, "path": "/no/such.png"}, "no such image: /no/such.png"),
        ({"bytes": None, "path": None}, "cannot be read: the row has neither its bytes nor its path"),
    ],
)
def test_one_that_cannot_be_read_is_named(hub: str, checkpoint: Checkpoint, image: Any, said: str) -> None:
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=[*CLASSES])})
    schema = features.arrow_schema
    pq.write_table(pa.table({"photo": [image] * 16, "kind": [0, 1] * 8}, schema), Path(hub) / "train.parquet")
    with pytest.raises(DataError, match=rf"data\.text: .*set, train: train/\d+\.image: {said}"):
        trial.run(study(hub, checkpoint("resnet")), lambda _: None)


def test_a_row_without_an_image_is_empty(hub: str, checkpoint: Checkpoint) -> None:
    rows = pq.read_table(Path(hub) / "train.parquet")
    photos = [None, *rows.column("photo").to_pylist()[1:]]
    broken = rows.set_column(0, rows.schema.field("photo"), pa.array(photos, rows.schema.field("photo").type))
    pq.write_table(broken, Path(hub) / "train.parquet")
    chosen = study(hub, checkpoint("resnet"))
    with pytest.raises(DataError, match=r"set, train, row 1: column 'photo' is empty, as in 1 of 16 rows"):
        kinds.load(chosen.task, chosen.data, 1)
    whole = settings.replace(chosen, {"data.clean.drop_empty": True})
    splits = kinds.load(whole.task, whole.data, 1, test=True)
    cells = [cell for part in (splits.train, splits.valid, splits.test) for cell in part.column("photo")]
    assert sorted(cells) == sorted(f"train/{row}.image" for row in range(1, 16))


def test_a_file_that_is_beside_the_rows_is_read(hub: str, drawn: Path, checkpoint: Checkpoint) -> None:
    paths = sorted(drawn.glob("*/*.png"))
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=[*CLASSES])})
    columns = {"photo": [str(path) for path in paths], "kind": [path.parent.name for path in paths]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(Path(hub) / "train.parquet")
    chosen = study(hub, checkpoint("resnet"))
    train = kinds.load(chosen.task, chosen.data, 1).train
    assert {*folders.images(train, "photo", "x")} <= {path.read_bytes() for path in paths}
