"""A first study file from a file of rows: what is guessed, why, and what is refused in one line."""

from __future__ import annotations

import json
import random
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from rich.cells import cell_len

from hpo import columns, guesses, init, spec, strictyaml, tables
from hpo.cli import main
from hpo.errors import HpoError
from objectives.tables import Table

Found = namedtuple("Found", "code out err")
Write = Callable[..., str]
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "ran", "off", "home", "with", "big", "red", "dogs")


def text(seed: int, count: int = 9) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(count)) + f" {seed}"


def chinese(seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice("这部电影很好看我不喜欢他的表演非常糟糕") for _ in range(14))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def _write(name: str, head: str, rows: Sequence[Sequence[Any]], mark: str = ",", encoding: str = "utf-8") -> str:
        lines = [head, *(mark.join(map(str, row)) for row in rows)]
        Path(name).write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
        return name

    return _write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Found]:
    def _run(*arguments: str) -> Found:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return Found(ended.value.code, *capsys.readouterr())

    return _run


def value(made: init.Draft, address: str) -> Any:
    return {guess.address: guess.value for guess in made.guesses if not guess.off}.get(address)


# columns

TABLES = [
    ("title,category,story", lambda i: (text(i), "abcd"[i % 4], f"d1rH{i:06}-x"), "title", "category", []),
    ("text,label,source", lambda i: (text(i), i % 2, "uvw"[i % 3]), "text", "label", ["source"]),
    ("source,target,topic", lambda i: (text(i), text(-i, 11), "abc"[i % 3]), "source", "topic", ["target"]),
    ("id,date,body,stars", lambda i: (i, f"2024-01-{1 + i % 28:02}", text(i), i % 5), "body", "stars", []),
    ("n,x,y1,flag", lambda i: (i / 7, text(i), text(i, 3), "uv"[i % 2]), "x", "flag", []),
    ("编号,评论,情感", lambda i: (i, chinese(i), ("正面", "负面")[i % 2]), "评论", "情感", []),
    (
        "url,mail,said,by,kind",
        lambda i: (f"http://a/{i}", f"a@b{i}", text(i), f"u{i % 50}", "abc"[i % 3]),
        "said",
        "kind",
        ["by"],
    ),
]


@pytest.mark.parametrize(("head", "row", "read", "predicted", "groups"), TABLES, ids=lambda found: str(found)[:20])
def test_columns_are_told_apart_by_what_is_in_them(
    write: Write, head: str, row: Callable[[int], Any], read: str, predicted: str, groups: list[str]
) -> None:
    made = init.draft(write("rows.csv", head, [row(i) for i in range(200)]))
    assert (made.text.name, made.label.name) == (read, predicted)
    assert [guess.value for guess in made.guesses if guess.off] == groups


def test_options_override_the_guess(write: Write) -> None:
    file = write("rows.csv", "text,label,source", [(text(i), i % 2, f"{text(i, 2)}") for i in range(50)])
    assert init.draft(file, text="source").text.name == "source"
    many = write("many.csv", "text,intent", [(text(i), f"intent {i % 120}") for i in range(600)])
    assert len(init.draft(many, label="intent").label.counts) == 120
    assert value(init.draft(file, study="mine"), "study") == "mine"
    assert init.draft(file, study="mine").path == Path("mine.yaml")


REFUSED = [
    ("text,label", lambda i: (text(i), f"A{i:05}"), "label", "it holds ids, 90 different ones in 90 rows"),
    ("text,label", lambda i: (text(i), f"c {i % 30}"), "label", "it has 30 different values in 90 rows, 3.0 rows a cl"),
    ("text,label", lambda i: (text(i), "a"), "label", "it has one value in all rows; right is two classes or more"),
    ("text,label", lambda i: (text(i), ""), "label", "it is empty"),
]


@pytest.mark.parametrize(("head", "row", "name", "message"), REFUSED)
@pytest.mark.parametrize("named", [True, False])
def test_a_label_that_is_none_is_refused(
    write: Write, head: str, row: Callable[[int], Any], name: str, message: str, named: bool
) -> None:
    file = write("rows.csv", head, [row(i) for i in range(90)])
    with pytest.raises(HpoError) as caught:
        init.draft(file, label=name if named else None)
    assert str(caught.value).startswith(f"rows.csv: column 'label' is no label: {message}")


FILES: list[tuple[str, Any, str]] = [
    (
        "id,label",
        lambda i: (i, i % 2),
        "no column looks like text to read (id: 60 different numbers; label: 2 different numbers); name it with --text",
    ),
    (
        "said,by",
        lambda i: (text(i), f"user number {i}"),
        "column 'by' is no label: it has 60 different values in 60 rows, 1.0 rows a class; right is 4 or more: merge "
        "some",
    ),
    (
        "the cat sat on the mat and it was so very warm,1",
        lambda i: (text(i), i % 2),
        "the first row reads like data ('the cat sat on the mat and it was so ver'...); "
        "add a header such as text,label",
    ),
    (
        "text,intent",
        lambda i: (text(i), f"intent {i % 300}"),
        "column 'intent' is no label: it has 300 different values; if these are the classes, name it with --label",
    ),
]


@pytest.mark.parametrize(("head", "row", "message"), FILES)
def test_a_file_without_a_task_is_refused_in_one_line(
    write: Write, run: Callable[..., Found], head: str, row: Callable[[int], Any], message: str
) -> None:
    file = write("rows.csv", head, [row(i) for i in range(1500 if "intent" in head else 60)])
    assert run("init", file) == (1, "", f"Error: rows.csv: {message}\n")
    assert not Path("rows.yaml").exists()


def test_files_that_cannot_be_used_are_told_in_one_line(write: Write, run: Callable[..., Found]) -> None:
    write("three.csv", "text,label", [(text(i), i % 2) for i in range(3)])
    write("rare.csv", "text,label", [(text(i), "ab"[i % 2] if i else "c") for i in range(60)])
    write("good.csv", "text,label", [(text(i), i % 2) for i in range(60)])
    Path("binary.csv").write_bytes(random.Random(0).randbytes(999))
    here = Path.cwd()
    for arguments, message in [
        (["three.csv"], "three.csv: has 3 rows; right are 10 at the very least, and some hundred to learn from"),
        (["rare.csv"], "rare.csv: objective.data.label: class 'c' has one row; train and valid need one each"),
        (["no.csv"], f"no such file: {here}/no.csv"),
        (
            ["good.csv", "--text", "txt"],
            "good.csv: --text: there is no column 'txt'; found text, label; did you mean 'te",
        ),
        (["good.csv", "--text", "text", "--label", "text"], "good.csv: column 'text' is no label: it is the text"),
        (["good.csv", "--study", "a b"], "a b.yaml: study: 'a b' has ' ' in it; letters, digits and . _ - are right"),
        (["good.csv", "-o", "no/way.yaml"], "no/way.yaml: cannot be written: No such file or directory"),
        (["binary.csv"], f"{here}/binary.csv: has a NUL byte at offset "),
    ]:
        found = run("init", *arguments)
        assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
        assert found.err.startswith(f"Error: {message}")
    assert not list(here.glob("*.yaml*")) + list(here.glob(".*"))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("rows.csv", "counts from this file's folder"),
        ("/data/rows.csv", "where the rows are"),
        ("s3://bucket/rows.csv", "where the rows are"),
    ],
)
def test_only_a_relative_path_counts_from_the_file(path: str, why: str) -> None:
    (found,) = guesses.in_file(Table({"text": ["a"]}), path, None, None)
    assert found.why == why


# the study file


def test_the_study_file_passes_the_check_and_says_why(write: Write, run: Callable[..., Found]) -> None:
    write("rows.csv", "text,label,source", [(text(i), "yes" if i % 5 else "no", f"s{i % 7}") for i in range(300)])
    found = run("init", "rows.csv", "-o", "mine.yaml")
    assert found.code == 0
    lines = Path("mine.yaml").read_text().splitlines()
    assert lines[0] == "# From rows.csv, 300 rows. The guesses and why; mend what is wrong."
    assert any(line.startswith("    # group: source  ") for line in lines)
    made = spec.load(Path("mine.yaml"))
    assert (made.metric, made.trials) == ("f1_macro", 20)
    assert (
        made.objective.model_dump()["data"] | {"path": "rows.csv", "text": "text", "label": "label"}
        == (made.objective.model_dump()["data"])
    )
    assert "training.class_weights" in made.search
    assert run("check", "mine.yaml").code == 0
    words = " ".join(found.out.split())
    assert "data.label label the column to predict: 2 classes: yes 80%, no 20%" in words
    assert "search.training.class_weights [none, balanced] the largest class has 4 times" in words
    assert f"{text(0)} -> no" in words
    assert f"{text(1)} -> yes" in words
    assert "hpo launch -s mine.yaml" in found.err


def test_a_study_file_is_not_overwritten_unless_forced(write: Write, run: Callable[..., Found]) -> None:
    file = write("rows.csv", "text,label", [(text(i), i % 2) for i in range(60)])
    Path("rows.yaml").write_text("mine")
    found = run("init", file)
    assert (found.code, found.out) == (1, "")
    assert found.err == "Error: rows.yaml is there already; give another with -o, or overwrite it with --force\n"
    assert Path("rows.yaml").read_text() == "mine"
    assert run("init", file, "--force").code == 0
    assert spec.load(Path("rows.yaml")).study == "rows"


def test_chinese_files_in_gb18030_with_semicolons_are_read(write: Write, run: Callable[..., Found]) -> None:
    rows = [(i, chinese(i) * (1 if i else 20), ("正面", "负面")[i % 2]) for i in range(60)]
    write("评论 数据.csv", "编号;评论;情感", rows, ";", "gb18030")
    found = run("init", "评论 数据.csv")
    assert found.code == 0
    assert "is read as gb18030, a guess" in found.err
    assert f"{(chinese(0) * 20)[:87]}...  -> 正面" in found.out
    tree = strictyaml.read(Path("评论-数据.yaml"))
    assert tree["objective"]["model"] == {"name": "bert-base-chinese"}
    assert (
        tree["objective"]["data"] | {"encoding": "gb18030", "delimiter": ";", "max_length": 32}
        == (tree["objective"]["data"])
    )
    assert tree["search"]["model.frozen_layers"] == {"low": 0, "high": 12}


def test_reasons_stand_in_one_column_also_behind_ideographs(write: Write) -> None:
    rows = [(chinese(i), ("正面", "负面")[i % 2]) for i in range(40)]
    lines = str(init.draft(write("评论.csv", "文本,情感", rows))).splitlines()
    inside = [line for line in lines if line.startswith("    ") and " # " in line]
    assert len({cell_len(line.partition(" # ")[0]) for line in inside}) == 1, inside


def test_small_numbers_are_written_as_learning_rates_are(write: Write) -> None:
    made = str(init.draft(write("a.csv", "text,label", [(text(i), "xy"[i % 2]) for i in range(60)])))
    assert "training.learning_rate: {low: 1e-5, high: 1e-3, log: true}" in made


def test_another_column_that_might_be_read_is_named(write: Write) -> None:
    rows = [(text(i), text(i + 100), text(i + 200, 2), "xy"[i % 2]) for i in range(60)]
    made = init.draft(write("a.csv", "source,target,note,label", rows))
    (why,) = [guess.why for guess in made.guesses if guess.address == "data.text"]
    assert why.endswith("; or target, as long") or why.endswith("; or source, as long")


@pytest.mark.parametrize(
    ("header", "missing"), [("the mat was red,x", True), ("text,x", False), ("the text,y z", False)]
)
def test_a_first_row_that_is_no_header_is_told(write: Write, header: str, missing: bool) -> None:
    file = write("a.csv", header, [(text(i), "xy"[i % 2]) for i in range(60)])
    if not missing:
        assert init.draft(file, label=header.partition(",")[2]).label.counts["x"] == 30
        return
    with pytest.raises(HpoError, match=r"^a\.csv: the first row reads like data: 'x' stands in its column again; add"):
        init.draft(file)


def test_other_scripts_get_a_model_that_reads_them(write: Write) -> None:
    file = write("rows.csv", "text,label", [(f"привет мир номер {i} снова", i % 2) for i in range(60)])
    assert value(init.draft(file), "model.name") == "xlm-roberta-base"
    french = write("french.csv", "text,label", [(f"déjà vu été là-bas {i}", i % 2) for i in range(60)])
    assert value(init.draft(french), "model.name") == "minilm"


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet", "xlsx"])
def test_every_kind_of_file_is_looked_at(tmp_path: Path, run: Callable[..., Found], suffix: str) -> None:
    rows = [{"text": text(i), "label": "ab"[i % 2]} for i in range(40)]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif suffix == "xlsx":
        book = openpyxl.Workbook()
        for row in [("text", "label"), *(tuple(row.values()) for row in rows)]:
            book.active.append(row)
        book.save(path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("text\tlabel\n" + "".join("\t".join(row.values()) + "\n" for row in rows))
    assert run("init", str(path), "-o", str(tmp_path / "study.yaml")).code == 0
    assert spec.load(tmp_path / "study.yaml").objective.model_dump()["data"]["path"] == path.name


def test_what_is_dirty_is_cleaned(write: Write) -> None:
    rows = [("" if i == 1 else "same" if i < 5 else f"{text(i)} &amp; <br/>", i % 2) for i in range(60)]
    made = init.draft(write("rows.csv", "text,label", rows))
    cleaned = {guess.address: guess.why for guess in made.guesses if ".clean." in guess.address}
    assert cleaned == {
        "data.clean.drop_empty": "1 row without a text or a label",
        "data.clean.deduplicate": "3 texts said before: some would stand in two splits",
        "data.clean.strip_html": "tags or entities in 55 rows of the first 59",
    }
    init.write(made)
    tidy = init.draft(write("tidy.csv", "text,label", [(text(i), i % 2) for i in range(60)]))
    assert not [guess for guess in tidy.guesses if ".clean." in guess.address]


def test_the_length_covers_most_texts(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(text(i, 300 if i < 2 else 20), i % 2) for i in range(100)]
    file = write("rows.csv", "text,label", rows)
    counted = next(guess for guess in init.draft(file).guesses if guess.address == "data.max_length")
    assert counted.value == 32
    assert counted.why.endswith(" tokens")
    monkeypatch.setattr(guesses.tokens, "count", lambda *_: None)
    estimated = next(guess for guess in init.draft(file).guesses if guess.address == "data.max_length")
    assert (estimated.value, estimated.why) == (
        32,
        "95 % of the texts have at most 31 tokens, estimated from words",
    )
    long = write("long.csv", "text,label", [(text(i, 900), i % 2) for i in range(20)])
    assert value(init.draft(long), "data.max_length") == 512


def test_more_rows_get_fewer_epochs_and_trials(write: Write) -> None:
    found = []
    for count in (60, 600, 6000):
        made = init.draft(write("rows.csv", "text,label", [(text(i), i % 2) for i in range(count)]))
        found.append((value(made, "training.epochs"), value(made, "trials"), value(made, "data.split")["valid"]))
    assert found == [(8, 20, 0.25), (5, 20, 0.2), (3, 12, 0.2)]


@pytest.mark.parametrize(
    "name", ["plain", "two words", "文本", "no", "1", "a: b", "a #b", "-x", "a,b", "'", "[x]", "~", ""]
)
def test_any_name_is_written_so_that_it_is_read_back(name: str) -> None:
    made = guesses.Guess(("a",), {"b": name, "c": [name, 1e-5, True]})
    assert strictyaml.loads(f"a: {made.written}  # why", "") == {"a": {"b": name, "c": [name, 1e-5, True]}}


def test_words_are_counted_in_any_script() -> None:
    assert [columns.words(one) for one in ("", "a b  c", "好电影", "看 GPT 好")] == [0, 3, 3, 3]


def test_brackets_in_a_table_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show([("[none, balanced]", "[/b] :smile:")], ("a", "[b]"))
    assert "[none, balanced]  [/b] :smile:" in capsys.readouterr().out


# what a check says of the rows


def test_a_check_says_on_stderr_what_the_rows_look_like(write: Write, run: Callable[..., Found]) -> None:
    write("rows.csv", "text,label", [(text(i % 50), i % 50 % 2) for i in range(100)])
    Path("study.yaml").write_text(
        "study: s\nobjective: {task: text-classification, data: {path: rows.csv}}\nsearch: {model.dropout: [0.1]}\n"
    )
    plain = run("check", "study.yaml")
    said = [" ".join(line.split()) for line in plain.err.splitlines()]
    assert "rows of the study train valid test" in said
    assert "rows 60 20 20" in said
    assert any(line.startswith("warning: ") and line.endswith("data.clean.deduplicate removes them") for line in said)
    assert strictyaml.loads(plain.out, "")["study"] == "s"
    clean = run("check", "study.yaml", "--set", "data.clean.deduplicate=true")
    assert clean.err.startswith(f"{Path.cwd()}/rows.csv: clean.deduplicate removed 50 of 100 rows\n")
    assert "warning" not in clean.err
    assert run("check", "study.yaml", "--no-data").err == ""
