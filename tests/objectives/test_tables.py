"""Reading tables of rows: formats, values as text, and mistakes in files."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from objectives import data
from objectives.errors import DataError
from objectives.settings import Data
from objectives.tables import READERS

ROWS = [(f"text {i}", "yes" if i % 4 else "no") for i in range(40)]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def parquet(path: Path, columns: dict, names: list[str] | None = None) -> str:
    pyarrow.parquet.write_table(pyarrow.table(list(columns.values()), names=names or list(columns)), path)
    return str(path)


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
    assert stored.take([1]).where(0) == "a.parquet, row 2"


def test_a_url_is_read_through_fsspec(write):
    path = write("a.csv", CSV)
    assert data.read(f"file://{path}").columns == data.read(path).columns


FILES = [
    ("a.csv", "", "is empty; right is a header and rows, or a JSON object a line"),
    ("a.csv", b"\xef\xbb\xbf\n \n", "is empty; right is a header and rows, or a JSON object a line"),
    ("a.csv", "text,label\n", "has a header and no rows; add some hundred"),
    (
        "a.txt",
        CSV,
        f"unknown suffix '.txt'; right is one of {', '.join(READERS)}; images come in a folder or a .zip",
    ),
    ("a", CSV, f"unknown suffix ''; right is one of {', '.join(READERS)}; images come in a folder or a .zip"),
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
        'a,b\n"Great, I said,1\nit was bad,0\na 5" screen,1\n',
        ", line 2: a text in quotes goes on after the one that closes it; write quotes within a text twice",
    ),
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
        ("no://me:secret@h/a.csv?key=secret", "no://h/a.csv cannot be opened: Protocol not known: no"),
        ("\0.csv", f"{tmp_path}/\0.csv cannot be opened: embedded null byte"),
    ]:
        with pytest.raises(DataError) as caught:
            data.read(path)
        assert str(caught.value) == f"data.path: {message}"


def test_an_error_lists_so_many_names_and_no_more(write):
    names = [f"c{i}" for i in range(25)]
    path = write("a.csv", "\n".join([",".join(names)] * 2))
    with pytest.raises(DataError, match=r"found c0, .*, c19 and 5 more$"):
        data.load(Data(path=path), 0)


def test_importing_data_is_light():
    heavy = "'torch', 'numpy', 'pyarrow', 'datasets', 'sklearn', 'fsspec', 'openpyxl'"
    script = f"import sys, objectives.data; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_text_may_be_longer_than_the_csv_module_reads_at_first(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1," + "x" * 300_000 + "\n")
    assert [len(value) for value in data.read(tmp_path / "a.csv").column("b")] == [300_000]


def test_quotes_between_tabs_that_are_no_csv_are_text(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"Great film, I said\t1\nit was bad\t0\na 5" screen\t1\n')
    table = data.read(path)
    assert table.column("text") == ['"Great film, I said', "it was bad", 'a 5" screen']
    assert table.notices == (f"{path}: quotes in it are read as text",)
    path.write_text('text\tlabel\n"never closed\t1\nbad\t0\n')
    assert data.read(path).column("text") == ['"never closed', "bad"]
    path.write_text('text\tlabel\n"as ""CSV"" has it"\t1\n"on two\nlines"\t0\n')
    table = data.read(path)
    assert table.column("text") == ['as "CSV" has it', "on two\nlines"]
    said = "1 cell runs over several lines between quotes, from line 3 on; if these are text, write each of them twice"
    assert table.notices == (f"{path}: {said}",)


def test_bytes_of_parquet_are_text_or_left_out(tmp_path):
    cells = {"text": ["größe".encode(), b"b"], "label": ["x", "y"], "thumb": [b"\xff\xd8", b""]}
    path = parquet(tmp_path / "a.parquet", cells)
    table = data.read(path)
    assert table.columns == {"text": ["größe", "b"], "label": ["x", "y"]}
    assert table.notices == (f"{path}: left out, as bytes that are no text: thumb",)
