"""Rows of a data set on a hub: its splits, its mistakes, its class labels."""

from pathlib import Path

import pytest

from objectives import data, kinds
from objectives.errors import DataError
from objectives.settings import Data, parse


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder laid out as a hub's data set, read by `datasets` itself."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def _hub(**splits: int) -> str:
        (tmp_path / "set").mkdir()
        for name, rows in splits.items():
            lines = "".join(f"{name} {i},{i % 2}\n" for i in range(rows))
            (tmp_path / "set" / f"{name}.csv").write_text(f"text,label\n{lines}")
        return str(tmp_path / "set")

    return _hub


TAGS = ["O", "B-LOC"]
HUBS = [
    ({"train": 20, "validation": 6, "test": 4}, {}, (20, 6, 4)),
    ({"train": 20, "validation": 6}, {}, (20, 6, None)),
    ({"train": 20, "test": 4}, {}, (16, 4, 4)),
    ({"train": 20}, {}, (12, 4, 4)),
    ({"train": 20, "validation": 6, "test": 4}, {"train": "train"}, (12, 4, 4)),
    ({"train": 20, "validation": 6, "test": 8}, {"train": "test", "valid": "train"}, (8, 20, None)),
    ({"train": 20, "test": 8}, {"train": "train", "test": "test"}, (16, 4, 8)),
    ({"train": 20, "test": 8}, {"valid": "test"}, (20, 8, None)),
]


@pytest.mark.parametrize(("splits", "names", "sizes"), HUBS)
def test_a_hub_s_splits_are_taken_and_divided_where_there_is_none(hub, splits, names, sizes):
    settings = Data(hub=hub(**splits), **names)
    loaded = data.load(settings, 0, test=True)
    parts = (loaded.train, loaded.valid, loaded.test)
    assert tuple(None if part is None else len(part) for part in parts) == sizes
    assert data.classes(loaded, "label") == ("0", "1")
    assert data.load(settings, 0).test is None


def test_a_hub_s_mistakes_are_told_in_one_line(hub):
    name = hub(train=20, test=4)
    for settings, message in [
        ({"valid": "test", "test": "test"}, "data.test: 'test' is data.valid, too; right is a split for each of them"),
        ({"valid": "train"}, "data.valid: 'train' is data.train, too; right is a split for each of them"),
        ({"valid": "tests"}, f"data.valid: '{name}' has no split 'tests'; found train, test; did you mean 'test'?"),
        (
            {"label": "lable"},
            f"data.label: {name}, train has no column 'lable'; found text, label; did you mean 'label'?",
        ),
    ]:
        with pytest.raises(DataError) as caught:
            data.load(Data(hub=name, **settings), 0)
        assert str(caught.value) == message
    with pytest.raises(DataError, match=r"^data\.hub: cannot load '/no/such' \(\w+: .*\); check .* network$") as caught:
        data.load(Data(hub="/no/such"), 0)
    assert "\n" not in str(caught.value)


def test_a_hub_without_training_rows_is_told(hub):
    name = hub(test=4)
    with pytest.raises(DataError) as caught:
        data.load(Data(hub=name), 0)
    assert str(caught.value) == f"data.train: '{name}' has no split 'train'; found test"


def test_a_hub_s_class_labels_become_their_names(monkeypatch):
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    rows = {"text": ["t"] * 20, "label": [0, 1] * 10}
    loaded = {"train": datasets.Dataset.from_dict(rows, features=features)}
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: loaded)
    train = data.load(Data(hub="some/set"), 0).train
    assert set(train.column("label")) == {"ham", "spam"}
    assert (train.place(3), train.where(3)) == (
        f"some/set, train, row {train.lines[3]}",
        f"set, train, row {train.lines[3]}",
    )
    assert train.lines[-1] > len(train), "rows of the data set, not of the split"
    loaded["train"] = datasets.Dataset.from_dict({**rows, "label": [0, 1] * 9 + [-1, None]}, features=features)
    with pytest.raises(DataError, match=r"^data.label: some/set, train, row 19: .* as in 2 of 20 rows"):
        data.load(Data(hub="some/set"), 0)


def test_a_hub_s_lists_of_classes_become_lists_of_their_names(monkeypatch):
    import datasets

    tags = datasets.List(datasets.ClassLabel(names=TAGS))
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": tags})
    rows = {"tokens": [["in", "New York"], ["so"]] * 10, "ner_tags": [[0, 1], [0]] * 10}
    loaded = {"train": datasets.Dataset.from_dict(rows, features=features)}
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: loaded)
    chosen = parse({"task": "ner", "data": {"hub": "some/set", "text": "tokens", "label": "ner_tags"}})
    splits = kinds.load(chosen.task, chosen.data, 0)
    assert set(splits.train.column("ner_tags")) == {'["O", "B-LOC"]', '["O"]'}
    assert kinds.targets(chosen.task, chosen.data, splits) == ("B-LOC", "O")


def test_a_hub_s_fingerprint_is_the_data_set_s(hub):
    settings = Data(hub=hub(train=20))
    first = data.fingerprint(settings)
    assert first == data.fingerprint(settings)
    assert first != data.fingerprint(Data(hub=settings.hub, config="default"))
    Path(settings.hub, "train.csv").write_text("text,label\nanother,1\n")
    assert first != data.fingerprint(settings)
