"""The shipped studies and the data written for them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from hpo import fitting
from hpo import spec as studies
from objectives.answers import answers_of
from objectives.entities import spans
from objectives.tables import read

SHIPPED = studies.shipped()
RELATIONS = ("entailment", "neutral", "contradiction")
TOPICS = {"billing", "damage", "delivery", "login", "praise", "refund"}
DATA = Path(next(iter(SHIPPED.values()))).parent / "data"


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def grams(text: str, size: int = 5) -> set[tuple[str, ...]]:
    words = "".join(char if char.isalnum() else " " for char in text.lower()).split()
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_study_is_clean(name: str) -> None:
    spec = studies.load(studies.find(name))
    assert spec.study == name
    assert fitting.check_inputs(spec)


@pytest.mark.parametrize(
    ("name", "text", "label", "expected"),
    [
        ("news.csv", "title", "category", {"business": 300, "culture": 300, "science": 300, "sport": 300}),
        ("reviews.csv", "text", "label", {"positive": 200, "negative": 200}),
        ("messages.csv", "text", "label", {"ham": 300, "spam": 100}),
    ],
)
def test_the_data_is_large_and_varied(name: str, text: str, label: str, expected: dict[str, int]) -> None:
    found = rows(name)
    counts = Counter(row[label] for row in found)
    assert set(counts) == set(expected)
    assert all(counts[value] >= least for value, least in expected.items())
    texts = [row[text].strip() for row in found]
    assert all(texts)
    assert len({one.lower() for one in texts}) == len(texts)
    seen: Counter[tuple[str, ...]] = Counter(gram for one in texts for gram in grams(one))
    near = [one for one in texts if any(seen[gram] > 1 for gram in grams(one))]
    assert len(near) < 0.02 * len(texts), near
    openings = Counter(tuple(one.lower().split()[:2]) for one in texts)
    assert openings.most_common(1)[0][1] < 0.02 * len(texts)  # no template text


def test_pairs_are_three_to_a_premise_and_their_numbers_fit_the_relation() -> None:
    found = rows("pairs.csv")
    assert len({row["hypothesis"] for row in found}) == len(found) == 168
    for start in range(0, len(found), 3):
        three = found[start : start + 3]
        assert len({row["premise"] for row in three}) == 1
        assert [row["relation"] for row in three] == ["entailment", "neutral", "contradiction"]
    means = {name: [float(row["similarity"]) for row in found if row["relation"] == name] for name in RELATIONS}
    assert min(means["entailment"]) > max(*means["neutral"], *means["contradiction"])
    assert all(1 <= number <= 5 for numbers in means.values() for number in numbers)


def test_requests_have_any_number_of_topics() -> None:
    found = rows("requests.csv")
    assert len({row["text"] for row in found}) == len(found) == 154
    counts = Counter(len([name for name in row["topics"].split("|") if name]) for row in found)
    assert counts[0] >= 9
    assert counts[2] >= 40
    assert {name for row in found for name in row["topics"].split("|")} - {""} == TOPICS


def test_the_chinese_headlines_are_large_and_varied() -> None:
    found = rows("news_zh.csv")
    assert all(list(row) == ["标题", "类别"] for row in found)
    assert Counter(row["类别"] for row in found) == {"财经": 160, "科技": 160, "体育": 160, "文化": 160}
    titles = [row["标题"] for row in found]
    assert [title for title in titles if not 8 <= len(title) <= 26 or title != "".join(title.split())] == []
    shared = Counter(gram for title in titles for gram in {title[start : start + 8] for start in range(len(title) - 7)})
    assert [gram for gram, titles_with_it in shared.items() if titles_with_it > 1] == []
    openings = Counter(title[:2] for title in titles)
    assert openings.most_common(1)[0][1] <= 0.01 * len(titles)  # no template text


def test_the_names_are_many_and_varied() -> None:
    table = read(DATA / "names.conll")
    found: Counter[str] = Counter()
    for words, tags in zip(table.column("text"), table.column("label"), strict=True):
        found.update((span.type, *words.split()[span.first : span.last + 1]) for span in spans(tags.split()))
    kinds = Counter(kind for kind, *_ in found.elements())
    assert len(set(table.column("text"))) == len(table) == 260
    assert all(kinds[kind] >= 100 for kind in ("PER", "LOC", "ORG"))
    assert len(found) >= 180


def test_the_questions_are_many_and_their_answers_stand_in_their_texts() -> None:
    table = read(DATA / "places.json")
    pairs = zip(table.column("answers"), table.column("context"), strict=True)
    assert Counter(len(answers_of(*pair)) for pair in pairs) == {1: 192, 0: 48}
    assert len(set(table.column("context"))) == 48
    assert len(set(zip(table.column("question"), table.column("context"), strict=True))) == 240


def test_the_data_has_a_card() -> None:
    card = (DATA / "README.md").read_text("utf-8")
    assert "CC0" in card
    assert [file.name for file in DATA.iterdir() if file.name not in card and file.name != "README.md"] == []
    for file in DATA.glob("*.csv"):
        assert file.name in card


@pytest.mark.parametrize(
    ("name", "text", "label"), [("phrases.csv", "english", "french"), ("notes.csv", "text", "summary")]
)
def test_what_is_to_be_written_differs_from_row_to_row(name: str, text: str, label: str) -> None:
    found = rows(name)
    for column in (text, label):
        cells = [row[column].strip() for row in found]
        assert all(cells)
        assert len({cell.casefold() for cell in cells}) == len(cells)
        assert Counter(" ".join(cell.split()[:2]) for cell in cells).most_common(1)[0][1] <= 0.05 * len(cells)
