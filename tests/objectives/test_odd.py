"""Rows whose label their neighbours contradict."""

import csv
import random
from pathlib import Path

import pytest

from objectives import data, odd, settings, tfidf

SHIPPED = Path(__file__).parents[2] / "studies" / "data"


def flipped(labels, seed):
    draw, names, changed = random.Random(seed), sorted(set(labels)), list(labels)
    rows = set(draw.sample(range(len(labels)), len(labels) // 20))
    for row in sorted(rows):
        changed[row] = draw.choice([name for name in names if name != labels[row]])
    return changed, rows


@pytest.fixture
def find(tmp_path):
    """The oddities of rows in one file, a fifth of them to validate on."""

    def _find(texts, labels, seed=0):
        path = tmp_path / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *zip(texts, labels, strict=True)])
        split = {"valid": 0.2, "test": 0}
        wanted = {"task": "text-classification", "data": {"path": str(path), "split": split}}
        return odd.find(settings.parse(wanted), seed)

    return _find


@pytest.mark.parametrize(
    ("file", "text", "label"), [("messages.csv", "text", "label"), ("news_zh.csv", "标题", "类别")]
)
def test_flipped_labels_are_found_far_more_often_than_by_chance(find, file, text, label):
    """A twentieth is flipped, so chance is right once in twenty."""
    table = data.read(SHIPPED / file)
    shown = right = 0
    for seed in range(4):
        labels, rows = flipped(table.column(label), seed)
        found = find(table.column(text), labels, seed)
        shown += len(found.odd)
        right += sum(int(row.where.rpartition(":")[2]) - 2 in rows for row in found.odd)
    assert shown > 20
    assert right > 0.3 * shown


def test_an_odd_row_says_where_it_stands_and_what_its_neighbours_are(find):
    texts = [f"the {'dog barks' if i % 2 else 'cat purrs'} {'loud' * (i % 5)}" for i in range(200)]
    labels = ["dog" if i % 2 else "cat" for i in range(200)]
    labels[41] = "cat"
    found = find(texts, labels)
    assert (found.rows, found.looked, len(found.odd)) == (200, 200, 1)
    (row,) = found.odd
    assert (row.where, row.label, row.neighbours, row.text) == ("rows.csv:43", "cat", "dog", texts[41])
    assert row.share > 0.9
    assert found.plain()["odd"][0]["where"] == "rows.csv:43"


def test_nothing_is_said_where_neighbours_do_not_tell_the_label(find):
    draw = random.Random(0)
    texts = [" ".join(draw.choices(["cat", "dog", "sun", "sea", "ice", "oak"], k=6)) for _ in range(300)]
    found = find(texts, [draw.choice("ab") for _ in texts])
    assert (found.share, found.odd) == (None, [])


def test_a_rare_class_is_not_judged(find):
    """Its rows can never be the most of a row's neighbours."""
    texts = [f"the {'dog barks' if i % 2 else 'cat purrs'} {'loud' * (i % 5)}" for i in range(200)]
    labels = ["dog" if i % 2 else "cat" for i in range(200)]
    labels[0:40:4] = ["rare"] * 10
    assert find(texts, labels).odd == []


def test_more_rows_than_the_limit_are_drawn_by_the_seed(find, monkeypatch):
    monkeypatch.setattr(odd, "LIMIT", 60)
    texts = [f"the {'dog barks' if i % 2 else 'cat purrs'} {i % 5}" for i in range(200)]
    labels = ["dog" if (i % 2) != (i % 10 == 3) else "cat" for i in range(200)]
    found = find(texts, labels)
    assert (found.rows, found.looked) == (200, 100)
    assert found == find(texts, labels)


def test_neighbours_are_the_nearest_and_never_the_row_itself(monkeypatch):
    monkeypatch.setattr(tfidf, "CHUNK", 2)
    texts = ["red apple pie", "red apple cake", "blue whale song", "blue whale tail", "blue whale song"]
    known, others = tfidf.vectors(texts, ["a red apple", "???"])
    indices, cosines = tfidf.nearest(known, known, 2, same=True)
    assert indices[:, 0].tolist() == [1, 0, 4, 2, 2] or indices[:, 0].tolist() == [1, 0, 4, 4, 2]
    assert (cosines[:, 0] >= cosines[:, 1]).all()
    assert cosines[2, 0] == pytest.approx(1)
    indices, cosines = tfidf.nearest(others, known, 2, same=False)
    assert sorted(indices[0].tolist()) == [0, 1]
    assert cosines[1].tolist() == [0, 0]


def test_chinese_is_compared_by_its_characters():
    known, _ = tfidf.vectors(["国足客场取胜", "国足主场告负", "股市今日上涨", "股市昨日下跌"])
    indices, _ = tfidf.nearest(known, known, 1, same=True)
    assert indices.ravel().tolist() == [1, 0, 3, 2]
