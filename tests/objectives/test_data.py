"""Reading, checking and dividing rows."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from objectives import data
from objectives.errors import DataError
from objectives.settings import Data, Split

ROWS = [(f"text {i}", "yes" if i % 4 else "no") for i in range(40)]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


@pytest.fixture
def write(tmp_path):
    def _write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return _write


def parquet(path: Path, columns: dict, names: list[str] | None = None) -> str:
    pyarrow.parquet.write_table(pyarrow.table(list(columns.values()), names=names or list(columns)), path)
    return str(path)


# reading


def test_a_table_has_rows_columns_and_takes():
    rows = data.Table({"a": ["x", "y", "z"], "b": ["1", "2", "3"]}, "f.csv", [2, 3, 5])
    assert len(rows) == 3
    assert len(data.Table({})) == 0
    assert rows.take([2, 0]) == data.Table({"a": ["z", "x"], "b": ["3", "1"]}, "f.csv", [5, 2])
    assert rows.take([2]).place(0) == "f.csv, line 5"
    assert data.Table({"a": ["x"]}).place(0) == "the table, row 1"
    assert rows.column("b") == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"a, ""b""\nc",x\n\nd,y\n'),
        ("a.CSV", b'\xef\xbb\xbftext,label\r\n"a, ""b""\nc",x\r\n\r\nd,y'),
        ("a.tsv", 'text\tlabel\n"a, ""b""\nc"\tx\n\nd\ty\n'),
        ("a.jsonl", '{"text": "a, \\"b\\"\\nc", "label": "x"}\n\n\n{"label": "y", "text": "d"}\n'),
        ("a.json", '\ufeff{"text": "a, \\"b\\"\\nc", "label": "x"}\r\n\r\n\r\n{"text": "d", "label": "y"}'),
    ],
)
def test_text_files_are_read_by_suffix(write, name, content):
    rows = data.read(write(name, content))
    assert {column: list(values) for column, values in rows.columns.items()} == {
        "text": ['a, "b"\nc', "d"],
        "label": ["x", "y"],
    }
    assert rows.place(1).endswith(f"{name}, line {4 if 'json' in name else 5}")


def test_a_line_separator_within_a_json_string_ends_no_row(write):
    assert data.read(write("a.jsonl", '{"a": "b\u2028c"}\n')).column("a") == ["b\u2028c"]


def test_values_become_text_as_people_write_them(write, tmp_path):
    values = [1, 1.0, 0.5, True, False, None, float("nan"), "é", [1, "é"]]
    expected = ["1", "1", "0.5", "true", "false", "", "", "é", '[1, "é"]']
    lines = "".join(json.dumps({"a": value}) + "\n" for value in values) + '{"b": 2}\n'
    rows = data.read(write("a.jsonl", lines))
    assert rows.column("a") == [*expected, ""]
    assert rows.column("b") == [*[""] * len(values), "2"]
    stored = data.read(parquet(tmp_path / "a.parquet", {"i": [1, None], "f": [2.0, 2.5], "b": [True, False]}))
    assert stored.columns == {"i": ["1", ""], "f": ["2", "2.5"], "b": ["true", "false"]}
    assert stored.place(1).endswith("a.parquet, row 2")


def test_a_url_is_read_through_fsspec(write):
    path = write("a.csv", CSV)
    assert data.read(f"file://{path}").columns == data.read(path).columns


FILES = [
    ("a.csv", "", "is empty; right is a header and rows, or a JSON object a line"),
    ("a.csv", b"\xef\xbb\xbf\n \n", "is empty; right is a header and rows, or a JSON object a line"),
    ("a.csv", "text,label\n", "has a header and no rows; add some hundred"),
    ("a.txt", CSV, "unknown suffix '.txt'; right is one of .csv, .tsv, .jsonl, .json, .parquet, .xlsx"),
    ("a", CSV, "unknown suffix ''; right is one of .csv, .tsv, .jsonl, .json, .parquet, .xlsx"),
    (
        "a.csv",
        "é,ü,ß\n".encode() + b"\xff,x,y\n",
        "byte 0xff at offset 9 is not UTF-8, while the rest is; mend it, or set data.encoding",
    ),
    (
        "a.csv",
        b"\x89PNG\x01\xe9",
        "byte 0x89 at offset 0 is not UTF-8; save the file as UTF-8, or set data.encoding",
    ),
    (
        "a.csv",
        b"t\0e",
        "has a NUL byte at offset 1: binary, or UTF-16 without a mark; "
        "right is text in UTF-8, or data.encoding: utf-16-le",
    ),
    ("a.csv", "a,b,a\n1,2,3\n", "column 'a' stands 2 times; give each column its own name"),
    (
        "a.csv",
        'a,b\n"1\n",2\n1,2,3\n',
        ", line 4: 3 fields, where the header has 2; put a text that holds ',' into double quotes",
    ),
    ("a.csv", "a,b\n\n1\n", ", line 3: 1 field, where the header has 2; add what is missing, or remove the line"),
    ("a.csv", 'a,b\n1,2\n3,"4\n5,6\n', ", line 3: a quote opened in this row is never closed"),
    ("a.csv", 'a,b\n1,2\n3,"4', ", line 3: a quote opened in this row is never closed"),
    (
        "a.csv",
        "a;b\n1;2\n",
        "the header is one column and contains ';'; set data.delimiter: ';', or separate it by commas",
    ),
    (
        "a.csv",
        "a\tb\n1\t2\n",
        "the header is one column and contains '\\t'; set data.delimiter: tab, or separate it by commas",
    ),
    (
        "a.tsv",
        "a,b\n1,2\n",
        "the header is one column and contains ','; set data.delimiter: ',', or separate it by tabs",
    ),
    (
        "a.jsonl",
        '{"a": 1}\n{"a" 1}\n',
        ", line 2: broken JSON: Expecting ':' delimiter at column 6; right is an object a line",
    ),
    ("a.jsonl", '{"a": 1}\n[1]\n', ", line 2: is a list; right is a JSON object a line"),
    ("a.jsonl", '{"a": 1}\n"x"\n', ", line 2: is a string; right is a JSON object a line"),
    ("a.json", '{"a": 1}\nnull\n', ", line 2: is null; right is a JSON object a line"),
    ("a.json", "1\n", ", line 1: is a number or boolean; right is a JSON object a line"),
    ("a.parquet", "no", "is no Parquet file that can be read: "),
    ("a.xlsx", "no", "is no Excel file that can be read: File is not a zip file"),
]


@pytest.mark.parametrize(("name", "content", "message"), FILES)
def test_a_mistake_in_a_file_is_one_line_that_says_where(write, name, content, message):
    path = write(name, content)
    with pytest.raises(DataError) as caught:
        data.read(path, "data.valid")
    text = f"data.valid: {path}{'' if message.startswith(',') else ': '}{message}"
    assert str(caught.value).startswith(text) if name.endswith("parquet") else str(caught.value) == text
    assert "\n" not in str(caught.value)
    assert caught.value.key == "data.valid"


def test_parquet_columns_have_names_of_their_own(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"a": ["x"], "b": ["y"]}, ["a", "a"])
    with pytest.raises(DataError, match="column 'a' stands 2 times"):
        data.read(path)
    with pytest.raises(DataError, match="has a header and no rows"):
        data.read(parquet(tmp_path / "b.parquet", {"a": pyarrow.array([], pyarrow.string())}))


def test_a_file_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, message in [
        ("no.csv", f"no such file: {tmp_path}/no.csv"),
        (tmp_path, f"{tmp_path} is a folder; right is a file of rows"),
        ("no://a.csv", "no://a.csv cannot be opened: Protocol not known: no"),
        ("\0.csv", f"{tmp_path}/\0.csv cannot be opened: embedded null byte"),
    ]:
        with pytest.raises(DataError) as caught:
            data.read(path)
        assert str(caught.value) == f"data.path: {message}"


# rows as the settings want them

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
    splits = data.load(Data(path=path, label="topic"), 0, columns=("source", "target"))
    assert list(splits.train.columns) == ["source", "target"]
    with pytest.raises(DataError, match=r"^data: .* has no column 'traget'"):
        data.load(Data(path=path), 0, columns=("traget",))
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


# dividing


def labels(part: data.Table) -> Counter:
    return Counter(part.column("label"))


def of_rows(write, rows: list[tuple], **settings) -> Data:
    names = ("text", "label", "group")[: len(rows[0])]
    content = "\n".join(",".join(map(str, row)) for row in (names, *rows))
    return Data(path=write("rows.csv", content), **settings)


SPLITS = [
    (Split(), (61, 21, 21)),
    (Split(valid=10, test=0.1), (83, 10, 10)),
    (Split(train=20, valid=11, test=7), (20, 11, 7)),
    (Split(train=0.5, valid=0.25, test=0.25), (51, 26, 26)),
    (Split(train=0.1, valid=0.1, test=0.1), (10, 10, 10)),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("split", "sizes"), SPLITS)
def test_splits_are_exact_disjoint_and_stratified(write, split, sizes, seed):
    rows = [(f"t{i}", "abbccccc"[(i * i + seed) % 8]) for i in range(103)]
    splits = data.load(of_rows(write, rows, split=split), seed, test=True)
    parts = [splits.train, splits.valid, splits.test]
    texts = [text for part in parts for text in part.column("text")]
    assert tuple(len(part) for part in parts) == sizes
    assert len(set(texts)) == len(texts)
    counts = Counter(label for _, label in rows)
    for part in parts:
        for label, count in counts.items():
            assert abs(labels(part)[label] - count * len(part) / len(rows)) < 1


def test_three_rounded_shares_take_no_row_that_is_not_there(write):
    rows = [(f"t{i}", "ab"[i % 2]) for i in range(10)]
    splits = data.load(of_rows(write, rows, split=Split(train=0.25, valid=0.5, test=0.25)), 0, test=True)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (2, 5, 3)


def test_each_class_has_a_row_to_train_and_one_to_validate(write):
    rows = [(f"t{i}", "rare" if i < 2 else "few" if i < 5 else "many") for i in range(60)]
    for seed in range(5):
        splits = data.load(of_rows(write, rows, split=Split(valid=5, test=30)), seed)
        assert set(labels(splits.train)) == set(labels(splits.valid)) == {"rare", "few", "many"}
        assert len(splits.valid) == 5


def test_labels_that_do_not_repeat_are_not_stratified(write):
    splits = data.load(of_rows(write, [(f"t{i}", i / 7) for i in range(50)]), 0)
    assert (len(splits.train), len(splits.valid)) == (30, 10)


def test_the_seed_decides_and_the_order_in_files_stays(write):
    settings = of_rows(write, [(f"{i:03}", i % 2) for i in range(100)])
    first, again, other = (data.load(settings, seed).train.column("text") for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first == sorted(first)


GROUPED = [(f"t{i}", "no" if i % 3 else "yes", f"g{i * i % 89 % 37}") for i in range(400)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", [Split(), Split(valid=50, test=90), Split(train=200, valid=40, test=40)])
def test_no_group_stands_in_two_splits(write, split, seed):
    splits = data.load(of_rows(write, GROUPED, group="group", split=split), seed, test=True)
    parts = [splits.train, splits.valid, splits.test]
    homes = Counter(group for part in parts for group in set(part.column("group")))
    assert set(homes.values()) == {1}
    asked = [len(part) for part in parts_without_groups(write, split)]
    for part, size in zip(parts, asked, strict=True):
        assert abs(len(part) - size) <= 6
        assert abs(labels(part)["yes"] / len(part) - 1 / 3) < 0.08


def parts_without_groups(write, split: Split) -> list[data.Table]:
    splits = data.load(of_rows(write, GROUPED, split=split), 0, test=True)
    return [splits.train, splits.valid, splits.test]


def test_groups_of_one_row_divide_as_exactly_as_rows(write):
    rows = [(f"t{i}", "ab"[i % 2], f"g{i}") for i in range(100)]
    splits = data.load(of_rows(write, rows, group="group"), 0, test=True)
    parts = [splits.train, splits.valid, splits.test]
    assert [labels(part) for part in parts] == [{"a": n, "b": n} for n in (30, 10, 10)]
    other = data.load(of_rows(write, rows, group="group"), 1).train
    assert other.column("text") != splits.train.column("text")


def test_large_groups_are_placed_before_small_ones(write):
    rows = [(f"t{i}", "ab"[i % 2], f"g{i // 20 if i < 80 else i}") for i in range(100)]
    for seed in range(5):
        splits = data.load(of_rows(write, rows, group="group"), seed, test=True)
        assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [60, 20, 20]


def test_as_many_groups_as_splits_stand_one_in_each(write):
    rows = [(f"t{i}", "ab"[i % 2], f"g{i // 20}") for i in range(60)]
    splits = data.load(of_rows(write, rows, group="group"), 0, test=True)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [20, 20, 20]


GROUPS = [
    ([("t", "ab"[i % 2], f"g{i % 2}") for i in range(40)], "train, valid, test need a group each; found 2"),
    (
        [("t", "ab"[i % 2], f"g{i % 2 and i % 8}") for i in range(40)],
        "all rows of class 'a' stand in group 'g0'; train and valid need one each",
    ),
    (
        [*[("t", "ab"[i % 2], f"g{i % 4}") for i in range(39)], ("t", "b", "g0")],
        "dividing by group leaves no row of class 'b' in valid; "
        "divide the rows yourself into data.train and data.valid",
    ),
]


@pytest.mark.parametrize(("rows", "message"), GROUPS)
def test_groups_that_cannot_be_divided_are_told(write, rows, message):
    with pytest.raises(DataError) as caught:
        data.load(of_rows(write, rows, group="group", split=Split(valid=0.1, test=0.1)), 0)
    assert str(caught.value) == f"data.group: {message}"


def test_rows_and_order_are_the_same_in_every_process(write):
    settings = of_rows(write, GROUPED, group="group")
    script = (
        "import hashlib; from objectives import data; from objectives.settings import Data\n"
        f"for group in (None, 'group'):\n  s = data.load(Data(path={settings.path!r}, group=group), 5, test=True)\n"
        "  print([hashlib.sha256(repr(t).encode()).hexdigest() for t in (s.train, s.valid, s.test)])\n"
        "print(data.order(20, 1, 2))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().splitlines()[-1] == str(data.order(20, 1, 2))


def test_an_error_lists_so_many_names_and_no_more(write):
    names = [f"c{i}" for i in range(25)]
    path = write("a.csv", "\n".join([",".join(names)] * 2))
    with pytest.raises(DataError, match=r"found c0, .*, c19 and 5 more$"):
        data.load(Data(path=path), 0)


def test_order_is_a_shuffle_of_rows_seed_and_epoch_alone():
    assert sorted(data.order(100, 0, 0)) == list(range(100))
    orders = [data.order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert data.order(6, 0, 1) == [0, 5, 4, 3, 2, 1]  # the same in years to come


def test_importing_data_is_light():
    heavy = "'torch', 'numpy', 'pyarrow', 'datasets', 'sklearn', 'fsspec', 'openpyxl'"
    script = f"import sys, objectives.data; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


# classes


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


# fingerprints


def test_the_fingerprint_follows_the_bytes_not_the_place(write, tmp_path):
    first = data.fingerprint(Data(path=write("a.csv", CSV)))
    assert first == data.fingerprint(Data(path=write("b.csv", CSV), text="other"))
    assert first != data.fingerprint(Data(path=write("c.csv", CSV + "\n")))
    one, two = write("one.csv", CSV), write("two.csv", CSV + "a,b\n")
    roles = [{"train": one, "valid": two}, {"train": two, "valid": one}, {"train": one, "valid": two, "test": two}]
    assert len({data.fingerprint(Data(**role)) for role in roles}) == 3
    with pytest.raises(DataError, match=r"^data\.valid: no such file"):
        data.fingerprint(Data(train=one, valid=str(tmp_path / "no.csv")))


# hub


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


HUBS = [
    ({"train": 20, "validation": 6, "test": 4}, {}, (20, 6, 4)),
    ({"train": 20, "validation": 6}, {}, (20, 6, None)),
    ({"train": 20, "test": 4}, {}, (16, 4, 4)),
    ({"train": 20}, {}, (12, 4, 4)),
    ({"train": 20, "validation": 6, "test": 4}, {"train": "train"}, (12, 4, 4)),
    ({"train": 20, "validation": 6, "test": 8}, {"train": "test", "valid": "train"}, (8, 20, None)),
    ({"train": 20, "test": 8}, {"train": "train", "test": "test"}, (16, 4, 8)),
    ({"train": 20, "test": 8}, {"valid": "test"}, (20, 8, 8)),
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
    assert set(data.load(Data(hub="some/set"), 0).train.column("label")) == {"ham", "spam"}
    loaded["train"] = datasets.Dataset.from_dict({**rows, "label": [0, 1] * 9 + [-1, None]}, features=features)
    with pytest.raises(DataError, match=r"^data.label: some/set, train, row 19: .* as in 2 of 20 rows"):
        data.load(Data(hub="some/set"), 0)


def test_a_hub_s_fingerprint_is_the_data_set_s(hub):
    settings = Data(hub=hub(train=20))
    first = data.fingerprint(settings)
    assert first == data.fingerprint(settings)
    assert first != data.fingerprint(Data(hub=settings.hub, config="default"))
    Path(settings.hub, "train.csv").write_text("text,label\nanother,1\n")
    assert first != data.fingerprint(settings)


def test_a_text_may_be_longer_than_the_csv_module_reads_at_first(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1," + "x" * 300_000 + "\n")
    assert [len(value) for value in data.read(tmp_path / "a.csv").column("b")] == [300_000]
