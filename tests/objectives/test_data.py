"""Rows as the settings want them: columns, classes, and their fingerprint."""

import pytest

from objectives import data
from objectives.data import Reads
from objectives.errors import DataError
from objectives.settings import Data, Split

ROWS = [(f"text {i}", "yes" if i % 4 else "no") for i in range(40)]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


TABLES = [
    ({"label": "lable"}, CSV, "data.label: {} has no column 'lable'; found text, label; did you mean 'label'?"),
    ({"text": "zzz"}, CSV, "data.text: {} has no column 'zzz'; found text, label"),
    ({"group": "author"}, CSV, "data.group: {} has no column 'author'; found text, label"),
    (
        {},
        CSV + "more,\nmore, \n",
        "data.label: {}, line 42: column 'label' is empty, as in 2 of 42 rows; "
        "fill or remove them, as data.clean.drop_empty does",
    ),
    (
        {},
        CSV + ",yes\n",
        "data.text: {}, line 42: column 'text' is empty, as in 1 of 41 rows; "
        "fill or remove them, as data.clean.drop_empty does",
    ),
    (
        {},
        CSV + "more,rare\nmost,odd\n",
        "data.label: class 'odd' has one row, 1 more too; train and valid need one each: remove the row, or merge the "
        "class with another",
    ),
    (
        {"split": Split(valid=30, test=10)},
        CSV,
        "data.split: asks for some train + 30 valid + 10 test rows and there are 40; lower it",
    ),
    (
        {"split": Split(train=31, valid=5, test=5)},
        CSV,
        "data.split: asks for 31 train + 5 valid + 5 test rows and there are 40; lower it",
    ),
    (
        {"split": Split(valid=0.01)},
        CSV,
        "data.split.valid: comes to 0 of 40 rows; right is at least 2, one of each class",
    ),
    (
        {"split": Split(valid=30, test=9)},
        CSV,
        "data.split.train: comes to 1 of 40 rows; right is at least 2, one of each class",
    ),
    (
        {"split": Split(valid=0.1, test=0)},
        "text,label\na,1\nb,2\nc,3\n",
        "data.split.valid: comes to 0 of 3 rows; right is at least 1",
    ),
]


@pytest.mark.parametrize(("settings", "content", "message"), TABLES)
def test_rows_that_do_not_fit_the_settings_are_told(write, settings, content, message):
    path = write("a.csv", content)
    with pytest.raises(DataError) as caught:
        data.load(Data(path=path, **settings), 0)
    assert str(caught.value) == message.format(path)


def test_columns_may_be_others_and_only_these_are_kept(write):
    path = write("a.csv", "source,target,topic,label\n" + "".join(f"{i},{i},t,\n" for i in range(10)))
    splits = data.load(Data(path=path, label="topic"), 0, reads=Reads(("source", "target")))
    assert list(splits.train.columns) == ["source", "target"]
    with pytest.raises(DataError, match=r"^data: .* has no column 'traget'"):
        data.load(Data(path=path), 0, reads=Reads(("traget",)))
    grouped = Data(
        path=write("b.csv", "text,label,by\n" + "".join(f"{i},{i % 2},{i}\n" for i in range(20))), group="by"
    )
    assert list(data.load(grouped, 0).train.columns) == ["text", "label", "by"]


def test_files_of_their_own_are_not_divided_and_the_test_file_is_not_opened(write, tmp_path):
    settings = Data(
        train=write("a.csv", "text,label\na,x\nb,y\nb,y\n"),
        valid=write("b.csv", "text,label\nc,x\n"),
        test=str(tmp_path / "missing.csv"),
    )
    splits = data.load(settings, 0)
    assert (len(splits.train), len(splits.valid), splits.test) == (3, 1, None)
    with pytest.raises(DataError, match=r"^data\.test: no such file"):
        data.load(settings, 0, test=True)
    write("missing.csv", "text,label\nd,y\n")
    assert data.load(settings, 0, test=True).test.column("text") == ["d"]
    with pytest.raises(DataError, match=r"^data\.valid: no such file"):
        data.load(Data(train=settings.train, valid="/no.csv"), 0)


def test_test_rows_are_set_aside_whether_asked_for_or_not(write):
    settings = Data(path=write("a.csv", CSV))
    shut, opened = data.load(settings, 0), data.load(settings, 0, test=True)
    assert shut.test is None
    assert (shut.train, shut.valid) == (opened.train, opened.valid)
    parts = [set(part.column("text")) for part in (opened.train, opened.valid, opened.test)]
    assert [len(part) for part in parts] == [24, 8, 8]
    assert set.union(*parts) == {text for text, _ in ROWS}
    assert data.load(Data(path=settings.path, split=Split(test=0)), 0, test=True).test is None


def splits_of(train: list[str], valid: list[str], test: list[str] | None = None) -> data.Splits:
    return data.Splits(*(values and data.Table({"label": values}, "a.csv") for values in (train, valid, test)))


def test_classes_are_the_sorted_labels_of_training_rows():
    assert data.classes(splits_of(["b", "a", "b"], ["a"], ["b"]), "label") == ("a", "b")
    assert data.classes(splits_of(["c", "b", "a"], ["a", "b", "c"]), "label") == ("a", "b", "c")  # one shot


CLASSES = [
    (["a", "a"], ["a"], None, "every training row has the label 'a'; right is two classes or more"),
    (
        ["1", "2", "3"],
        ["4", "5"],
        None,
        "3 different labels to train on in 5 rows of column 'label'; "
        "right is a column of classes, each in several rows",
    ),
    (
        ["spam", "ham", "ham"],
        ["ham", "Spam"],
        None,
        "a.csv, row 2: label 'Spam' of the validation rows stands in no training row; "
        "found ham, spam; did you mean 'spam'?",
    ),
    (["a", "b", "b"], ["a"], ["c"], "a.csv, row 1: label 'c' of the test rows stands in no training row; found a, b"),
]


@pytest.mark.parametrize(("train", "valid", "test", "message"), CLASSES)
def test_labels_that_are_no_classes_are_told(train, valid, test, message):
    with pytest.raises(DataError) as caught:
        data.classes(splits_of(train, valid, test), "label")
    assert str(caught.value) == f"data.label: {message}"


def test_the_fingerprint_follows_the_bytes_not_the_place(write, tmp_path):
    first = data.fingerprint(Data(path=write("a.csv", CSV)))
    assert first == data.fingerprint(Data(path=write("b.csv", CSV), text="other"))
    assert first != data.fingerprint(Data(path=write("c.csv", CSV + "\n")))
    one, two = write("one.csv", CSV), write("two.csv", CSV + "a,b\n")
    roles = [{"train": one, "valid": two}, {"train": two, "valid": one}, {"train": one, "valid": two, "test": two}]
    assert len({data.fingerprint(Data(**role)) for role in roles}) == 3
    with pytest.raises(DataError, match=r"^data\.valid: no such file"):
        data.fingerprint(Data(train=one, valid=str(tmp_path / "no.csv")))
