"""Models rated before they are trained, by what they make of rows whose first word is the class."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from objectives import models, settings, tasks, transfer, trial
from objectives.errors import ModelError
from objectives.features import features
from objectives.host import Host
from objectives.ready import located

HOST = Host("cpu", 1)
Choose = Callable[..., settings.Transfer]


@pytest.fixture
def choose(rows: Path) -> Choose:
    """A task on the rows with the model of a folder."""

    def choose(folder: Path, kind: str = "text-classification", **data: Any) -> settings.Transfer:
        split = {"valid": 15, "test": 0}
        found = settings.parse(
            {
                "task": kind,
                "model": {"name": str(folder), "pooling": "cls" if (folder / "tokenizer.json").exists() else "head"},
                "data": {"path": str(rows), "max_length": 12, "split": split, **data},
                "training": {"seed": 0},
            }
        )
        assert isinstance(found, settings.Transfer)
        return found

    return choose


def blind(folder: Path, into: Path) -> Path:
    """The same model, to which all words are one."""
    shutil.copytree(folder, into)
    weights = load_file(into / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    save_file({**weights, name: torch.ones_like(weights[name])}, into / "model.safetensors", {"format": "pt"})
    return into


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
def test_a_model_that_reads_the_words_is_worth_more(
    checkpoint: Callable[[str], Path], choose: Choose, tmp_path: Path, family: str
) -> None:
    seeing = trial.rate(choose(checkpoint(family)), HOST)
    assert (seeing.train, seeing.valid) == (45, 15)
    assert seeing.metrics["accuracy"] > 0.75  # of three classes
    if family == "bert":
        unseeing = trial.rate(choose(blind(checkpoint(family), tmp_path / "blind")), HOST)
        assert seeing.log_me > unseeing.log_me + 0.1
        assert unseeing.metrics["accuracy"] < 0.7


def test_no_more_rows_are_read_than_asked_for(bert: Path, choose: Choose) -> None:
    found = trial.rate(choose(bert), HOST, rows=10)
    assert (found.train, found.valid) == (10, 10)


def test_the_features_are_what_the_head_reads_each_row_in_its_place(bert: Path, choose: Choose) -> None:
    chosen = choose(bert)
    source, task = located(chosen.model), tasks.of(chosen.task)
    rows = transfer.read(chosen, source)
    model = models.load(chosen.model.model_copy(update={"pooling": "mean"}), source, task.head, rows.classes, 0)
    one = task.collate(rows.train[3:4], rows.tokenizer)
    with torch.inference_mode():
        pooled = model.body(**one.inputs).last_hidden_state[0].mean(dim=0)
    found = features(model, rows.train, lambda some: task.collate(some, rows.tokenizer), torch.device("cpu"))
    assert found.shape == (45, 32)
    assert found[3].float() == pytest.approx(pooled, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "labels", "metric"),
    [
        ("text-regression", {"pos": "3.5", "mid": "2", "neg": "0.5"}, "pearson"),
        ("multi-label-classification", {"pos": '"[""a"", ""b""]"', "mid": '"[""a""]"', "neg": "[]"}, "f1_micro"),
    ],
)
def test_numbers_and_several_classes(
    bert: Path, choose: Choose, rows: Path, kind: str, labels: dict[str, str], metric: str
) -> None:
    text = rows.read_text()
    for old, new in labels.items():
        text = text.replace(f",{old}\n", f",{new}\n")
    rows.write_text(text)
    assert trial.rate(choose(bert, kind), HOST).metrics[metric] > 0.9


def test_images(checkpoint: Callable[[str], Path], choose: Choose, tmp_path: Path) -> None:
    from PIL import Image

    for place in range(24):
        label, value = ("dark", 20 + place) if place % 2 else ("light", 200 + place)
        (tmp_path / "pictures" / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (value, value, value)).save(tmp_path / "pictures" / label / f"{place}.png")
    chosen = choose(
        checkpoint("resnet"),
        "image-classification",
        path=str(tmp_path / "pictures"),
        max_length=128,
        split={"valid": 8, "test": 0},
    )
    assert trial.rate(chosen, HOST).metrics["accuracy"] == 1.0


def test_where_there_is_nothing_to_rate(bert: Path, choose: Choose) -> None:
    with pytest.raises(ModelError, match=r"^task\.kind: fill-mask makes no one vector of a row"):
        trial.rate(choose(bert, "fill-mask"), HOST)
    with pytest.raises(ModelError, match="has no pretrained model"):
        trial.rate(settings.Simulated(), HOST)
