"""Rows as they come: encodings, delimiters, Excel files, and what cleaning removes and changes."""

import json
import re
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest
from pydantic import ValidationError

from objectives import data, settings, trial
from objectives.cleaning import without_html
from objectives.encodings import EncodingError, decode
from objectives.errors import DataError
from objectives.host import Host
from objectives.settings import Clean, Data, Split

CHINESE = "文本,标签\n" + "".join(f"这部电影第{i}次看还是很好,{'正面' if i % 2 else '负面'}\n" for i in range(20))


@pytest.fixture
def write(tmp_path):
    def _write(name: str, content: str | bytes, encoding: str = "utf-8") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return str(path)

    return _write


def guess_of(path: str, name: str) -> tuple[str, ...]:
    return (f"{path}: is read as {name}, a guess; if letters look wrong, set data.encoding",)


# encodings

GUESSES = [
    ("utf-8", None),
    ("utf-8-sig", None),
    ("utf-16", "utf-16"),
    ("utf-32", "utf-32"),
    ("gb18030", "gb18030"),
]


@pytest.mark.parametrize(("encoding", "guess"), GUESSES)
def test_chinese_columns_labels_and_paths_are_read_in_any_encoding(write, encoding, guess):
    path = write("数据/评论.csv", CHINESE, encoding)
    splits = data.load(Data(path=path, text="文本", label="标签"), 0, test=True)
    assert data.classes(splits, "标签") == ("正面", "负面")
    assert sum(len(part) for part in (splits.train, splits.valid, splits.test)) == 20
    assert splits.notices == (guess_of(path, guess) if guess else ())
    lines = write("数据/评论.jsonl", json.dumps({"文本": "好"}, ensure_ascii=False), encoding)
    assert data.read(lines).column("文本") == ["好"]


@pytest.mark.parametrize("text", ["naïve\n", "café,x\nGröße,y\n", "“quoted” – dashed\n", "a,b\nÄußerung,1\n"])
def test_western_letters_are_not_taken_for_chinese(text):
    assert decode(text.encode("cp1252")) == (text, "cp1252")


def test_traditional_characters_are_chinese_too():
    assert decode("繁體中文，很難猜測\n".encode("gb18030")) == ("繁體中文，很難猜測\n", "gb18030")


def test_a_named_encoding_is_obeyed_and_not_noted(write):
    path = write("a.csv", "文本,標籤\n好,一\n", "big5")
    table = data.read(path, encoding="big5")
    assert (table.column("標籤"), table.notices) == (["一"], ())
    with pytest.raises(DataError, match=r"^data\.path: .*: byte 0xa4 at offset 0 is not utf-8; set data\.encoding"):
        data.read(path, encoding="utf-8")


def test_bytes_that_are_no_text_are_told():
    for raw, encoding, message in [
        (b"\xff\xfea", None, "is not utf-16"),
        (b"a\0b", "utf-8", "has a NUL character at 1; right is text, and its encoding in data.encoding"),
        ("é".encode() * 9 + b"\xe9", None, "is not UTF-8, while the rest is; mend it"),
        (b"\x81\x20\x8d", None, "save the file as UTF-8, or set data.encoding"),
    ]:
        with pytest.raises(EncodingError, match=message) as caught:
            decode(raw, encoding)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encoding": "utf9"}, "'utf9' is no encoding that Python knows; did you mean utf_8?"),
        ({"encoding": "gb18031"}, "'gb18031' is no encoding that Python knows; did you mean gb18030?"),
        ({"encoding": "zzzz"}, "utf-8, utf-16, gb18030, big5 and cp1252 are some"),
        ({"encoding": "base64"}, "'base64' is no encoding that Python knows"),
        ({"delimiter": ""}, "'' is no delimiter; right is one character such as ';', or tab"),
        ({"delimiter": ";;"}, "';;' is no delimiter"),
        ({"delimiter": '"'}, "is no delimiter"),
        ({"clean": {"unicode": "nfc"}}, "Input should be 'none' or 'nfkc'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given, message):
    with pytest.raises(ValidationError) as caught:
        Data(path="a.csv", **given)
    assert message in str(caught.value)


# delimiters


@pytest.mark.parametrize(("written", "mark"), [(";", ";"), ("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), ("|", "|")])
def test_the_delimiter_is_a_setting(write, written, mark):
    path = write("a.csv", f"text{mark}label\n" + f"a, b{mark}x\nc{mark}y\n" * 10)
    splits = data.load(Data(path=path, delimiter=written), 0, test=True)
    assert {*splits.train.column("text")} == {"a, b", "c"}
    tabbed = write("a.tsv", f"text{mark}label\na{mark}x\n")
    assert data.read(tabbed, delimiter=mark).column("label") == ["x"]


# Excel


def excel(path: Path, *sheets: list[list]) -> str:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"表{number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return str(path)


def test_the_first_sheet_of_an_excel_file_is_read(tmp_path):
    path = excel(tmp_path / "a.xlsx", [[], ["文本", "n", None], ["好", 1.0], [], ["不好", True], ["c", None]], [["x"]])
    table = data.read(path)
    assert table.columns == {"文本": ["好", "不好", "c"], "n": ["1", "true", ""]}
    assert table.place(1) == f"{path}, line 5"
    assert table.notices == (f"{path}: is read from '表1', the first of 2 sheets",)
    assert data.read(excel(tmp_path / "b.xlsx", [["a"], ["x"]])).notices == ()


@pytest.mark.parametrize("said", ["A1", "A1:A2", "A1:XFD9"])
def test_an_excel_file_may_be_wrong_of_its_size(tmp_path, said):
    """What other programs write is often of another day, or of the first cell alone."""
    path = Path(excel(tmp_path / "a.xlsx", [["a", "b"], ["x", 1], ["y", 2]]))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (sheet,) = [name for name in parts if name.startswith("xl/worksheets/")]
    parts[sheet], count = re.subn(rb'(<dimension ref=")[^"]*', rb"\g<1>" + said.encode(), parts[sheet])
    assert count == 1
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert data.read(path).columns == {"a": ["x", "y"], "b": ["1", "2"]}


def test_excel_files_that_are_no_table_are_told(tmp_path, monkeypatch):
    for rows, message in [
        ([["a", "a"], [1, 2]], "column 'a' stands 2 times; give each column its own name"),
        ([["a"], [1, "stray"]], "line 2: the cell 'stray' stands in a column without a name; name it"),
        ([["a"]], "has a header and no rows"),
        ([], "has a header and no rows"),
    ]:
        with pytest.raises(DataError, match=message):
            data.read(excel(tmp_path / "a.xlsx", rows))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"a\.xlsx: needs the package openpyxl; pip install openpyxl, or save it as"):
        data.read(tmp_path / "a.xlsx")


# cleaning

DIRTY = [
    ("good &amp; cheap", "yes"),
    ("good & cheap", "no"),
    ("<p>Ｇｏｏｄ</p>", "yes"),
    ("", "yes"),
    ("gone", ""),
    *((f"text {i % 10}", ("yes", "no")[i % 10 % 2]) for i in range(20)),
]


def dirty(write, **more) -> tuple[data.Splits, list[str]]:
    path = write("a.csv", "text,label\n" + "".join(f"{text},{label}\n" for text, label in DIRTY))
    splits = data.load(Data(path=path, split=Split(test=0), **more), 0)
    return splits, [notice.removeprefix(f"{path}: ") for notice in splits.notices]


def test_cleaning_happens_before_dividing_and_says_what_it_did(write):
    wanted = Clean(drop_empty=True, deduplicate=True, unicode="nfkc", strip_html=True)
    splits, notices = dirty(write, clean=wanted)
    assert notices == [
        "clean.strip_html changed 2 of 25 rows",
        "clean.unicode: nfkc changed 1 of 25 rows",
        "clean.drop_empty removed 2 of 25 rows",
        "clean.deduplicate removed 11 of 23 rows; 1 text stood with different labels: the first is kept",
    ]
    rows = {
        text: label
        for part in (splits.train, splits.valid)
        for text, label in zip(part.column("text"), part.column("label"), strict=True)
    }
    assert len(splits.train) + len(splits.valid) == len(rows) == 12
    assert rows["good & cheap"] == "yes"  # the first of the two
    assert "Good" in rows


def test_each_step_is_off_unless_it_is_asked_for(write):
    with pytest.raises(DataError, match="column 'text' is empty, as in 1 of 25 rows"):
        dirty(write)
    splits, notices = dirty(write, clean=Clean(drop_empty=True))
    assert notices == ["clean.drop_empty removed 2 of 25 rows"]
    assert "<p>Ｇｏｏｄ</p>" in [*splits.train.column("text"), *splits.valid.column("text")]


def test_places_in_the_file_survive_cleaning(write):
    path = write("a.csv", "text,label,by\nx,a,\n,b,1\ny,b,1\n")
    table = data.read(path)
    assert table.take([0, 2]).place(1) == f"{path}, line 4"


def test_files_of_their_own_are_cleaned_each_by_itself(write):
    train, valid = write("a.csv", "text,label\na,x\na,x\nb,y\n"), write("b.csv", "text,label\na,x\n")
    splits = data.load(Data(train=train, valid=valid, clean=Clean(deduplicate=True)), 0)
    assert (len(splits.train), len(splits.valid)) == (2, 1)
    assert splits.notices == (
        f"{train}: clean.deduplicate removed 1 of 3 rows",
        f"{valid}: clean.deduplicate removed 0 of 1 rows",
    )


def test_nothing_left_is_told(write):
    path = write("a.csv", "text,label\n,x\n , y\n")
    with pytest.raises(DataError) as caught:
        data.load(Data(path=path, clean=Clean(drop_empty=True)), 0)
    assert str(caught.value) == f"data.clean: {path}: leaves no row; remove drop_empty, or look at the file"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One</p><p>two</p>", "One two"),
        ("<b>bo</b>ld<br/>new  line", "bold new line"),
        ("<a href='x?a=1&amp;b'>link</a> &lt;3 &nbsp;caf&eacute;", "link <3 café"),
        ("<!-- hid\nden -->seen<script>if (a<b) {}</script>", "seen"),
        ("x < y and <3 and <unknown> and a<b, c>d", "x < y and <3 and <unknown> and a<b, c>d"),
        ("two  spaces\nstay", "two  spaces\nstay"),
    ],
)
def test_html_goes_and_other_signs_stay(text, plain):
    assert without_html(text) == plain


def test_a_trial_keeps_what_was_done_to_its_rows(write, checkpoint):
    path = write("a.csv", "text,label\n" + "".join(f"good film {i % 30},{i % 2}\n" for i in range(40)))
    given = {"path": path, "max_length": 16, "clean": {"deduplicate": True}}
    tree = {"task": "text-classification", "model": str(checkpoint("bert")), "data": given, "training": {"epochs": 1}}
    kept = trial.run(settings.parse(tree), lambda _: None, host=Host("cpu", 1)).facts
    assert kept["notices"] == [f"{path}: clean.deduplicate removed 10 of 40 rows"]
    given["clean"] = {}
    assert "notices" not in trial.run(settings.parse(tree), lambda _: None, host=Host("cpu", 1)).facts
