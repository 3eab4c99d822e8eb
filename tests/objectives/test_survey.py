"""What the rows of a study look like, and what is advised."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from objectives import settings, sources, survey, tokens
from objectives.errors import DataError

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "ran", "off", "home", "with", "big", "red", "dogs")


def text(seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(9)) + f" {seed}"


@pytest.fixture
def look(tmp_path):
    """The survey of rows in files of their own, or in one file."""

    def _look(train, valid=None, test=None, model="minilm", training=None, **data) -> survey.Survey:
        files = {"train": train, "valid": valid, "test": test} if valid else {"path": train}
        for name, rows in files.items():
            if rows is not None:
                lines = "".join(f"{text},{label}\n" for text, label in rows)
                (tmp_path / f"{name}.csv").write_text(f"text,label\n{lines}", "utf-8")
        paths = {name: str(tmp_path / f"{name}.csv") for name, rows in files.items() if rows is not None}
        wanted = {"task": "text-classification", "model": model, "data": {**paths, **data}, "training": training or {}}
        return survey.survey(settings.parse(wanted), 0)

    return _look


def test_splits_are_counted_with_their_classes_and_tokens(look):
    found = look([(text(i), "yes" if i % 4 else "no") for i in range(100)])
    assert found.splits == ["train", "valid", "test"]
    assert found.advice == []
    assert {name: list(map(str, by_split.values())) for name, by_split in found.measures.items()} == {
        "rows": ["60", "20", "20"],
        "class yes": ["75 % (45)", "75 % (15)", "75 % (15)"],
        "class no": ["25 % (15)", "25 % (5)", "25 % (5)"],
        "missing text (nan, null, -)": ["0", "0", "0"],
        "missing label (nan, null, -)": ["0", "0", "0"],
        "texts that stood before": ["0", "0", "0"],
        "nearly a text that stood before": ["0", "0", "0"],
        "the same text in train": ["0", "0"],
        "nearly the same text in train": ["0", "0"],
        "tokens: median, 95 %, most": ["12, 12, 12"] * 3,
        "cut at max_length 128": ["0 %", "0 %", "0 %"],
        "unknown tokens": ["0 %", "0 %", "0 %"],
    }


def test_repeated_texts_leaks_and_contradictions_are_told(look):
    train = [(text(i // 2), "ab"[i % 2 if i < 6 else i // 2 % 2]) for i in range(40)]
    found = look(train, [(text(i), "ab"[i % 2]) for i in range(15, 25)], [(text(1), "b")])
    assert found.measures["texts that stood before"] == {"train": 20, "valid": 0, "test": 0}
    assert found.measures["the same text in train"] == {"valid": 5, "test": 1}
    assert found.advice == [
        "3 texts with more than one label: no model can be right on all",
        "6 texts to validate or test on also in train: remove them from one of the two",
    ]
    divided = look([(text(i // 2), "ab"[i // 2 % 2]) for i in range(80)])
    assert divided.advice[0].endswith("also in train: data.clean.deduplicate removes them")


def test_near_duplicates_are_found_by_their_5_grams(look):
    train = [(text(i), "ab"[i % 2]) for i in range(50)]
    valid = [(text(3).upper() + "!", "a"), (text(4), "a"), (text(200), "b"), ("  ".join(text(5).split()), "b")]
    found = look(train, valid)
    assert found.measures["the same text in train"] == {"valid": 1}
    assert found.measures["nearly the same text in train"] == {"valid": 2}
    assert found.advice[-1] == (
        "2 texts to validate or test on nearly the same in train: "
        "if a column tells what belongs together, name it in data.group"
    )


def test_near_duplicates_within_a_split_are_counted_once_each(look):
    train = [(text(i), "ab"[i % 2]) for i in range(50)]
    twins = [(text(i).upper() + "!", "ab"[i % 2]) for i in range(3)]
    found = look([*train, *twins, train[0]], [(text(100), "a"), (text(100) + "!", "a"), (text(101), "b")])
    assert found.measures["nearly a text that stood before"] == {"train": 3, "valid": 1}
    assert found.measures["texts that stood before"] == {"train": 1, "valid": 0}


def test_empty_cells_that_were_removed_and_cells_that_stand_for_nothing_are_told(look):
    rows = [(text(i), "ab"[i % 2]) for i in range(40)]
    gone = [("", "a"), (" ", "b"), (text(90), "")]
    found = look([*rows, *gone, ("NaN", "a"), ("n/a", "b")], [*rows[:4], ("", "a")], clean={"drop_empty": True})
    assert found.measures["empty text, removed"] == {"train": 2, "valid": 1}
    assert found.measures["empty label, removed"] == {"train": 1, "valid": 0}
    assert found.measures["missing text (nan, null, -)"] == {"train": 2, "valid": 0}
    assert found.advice[0] == "2 cells such as 'nan' or '-' stand for nothing, and are learned as text"
    divided = look([*rows, *gone], clean={"drop_empty": True})
    assert divided.measures["empty text, removed"] == {"train": 2}
    with pytest.raises(DataError, match="column 'text' is empty, as in 2 of 43 rows, and column 'label' in 1; "):
        look([*rows, *gone])


def test_a_survey_is_ready_for_json(look):
    found = look([(text(i), "yes" if i % 4 else "no") for i in range(100)]).plain()
    assert json.loads(json.dumps(found)) == found
    assert found["measures"]["rows"] == {"train": 60, "valid": 20, "test": 20}
    assert found["measures"]["class no"]["train"] == {"count": 15, "of": 60}
    assert found["measures"]["tokens: median, 95 %, most"]["train"] == {"median": 12, "high": 12, "most": 12}


def test_the_cost_of_near_duplicates_stays_bounded():
    same = survey._Sketches()
    assert sum(same.meets(f"the very same words but for the number {i}") for i in range(3000)) == 2999
    assert max(map(len, same.homes.values())) == survey._CROWD
    assert len(survey._sampled(range(10 * survey.LIMIT + 1))) <= survey.LIMIT


def test_cut_texts_unknown_tokens_and_rare_classes_are_told(look):
    draw = random.Random(0)
    rows = [("".join(draw.choices("这部电影很好看我不喜欢他的表演", k=14)), "ab"[i % 2]) for i in range(220)]
    cut, unknown = look(rows, max_length=8).advice
    assert cut == "100 % of the texts are cut off: raise data.max_length"
    assert re.fullmatch(
        r"6\d % of the tokens are unknown to minilm: .*bert-base-chinese or xlm-roberta-base.*", unknown
    )
    rare = [(text(i), "b" if i % 25 == 0 else "a") for i in range(250)]
    assert look(rare).advice == [
        "class 'a' has 24 times the training rows of 'b': "
        "metric: f1_macro and training.class_weights: balanced count them the same"
    ]
    assert look(rare, training={"class_weights": "balanced"}).advice == []


def test_many_classes_are_summed_up(look):
    found = look([(text(i), f"c{i % 20:02}") for i in range(200)])
    assert sum(name.startswith("class ") for name in found.measures) == 12
    assert str(found.measures["8 more classes"]["train"]) == "40 % (48)"


def test_a_model_without_a_tokenizer_here_leaves_tokens_out(look):
    found = look([(text(i), "ab"[i % 2]) for i in range(40)], model="bert-base-chinese")
    assert "unknown tokens" not in found.measures
    assert found.advice == []
    assert look([(text(i), "ab"[i % 2]) for i in range(40)], model="./nowhere").advice == []


def test_test_rows_that_cannot_be_read_are_told_and_others_are_not_excused(look, tmp_path):
    rows = [(text(i), "ab"[i % 2]) for i in range(40)]
    found = look(rows, rows[:4], [("", "a")])
    assert found.splits == ["train", "valid"]
    assert found.advice[0].startswith(f"the test rows: objective.data.text: {tmp_path}/test.csv, line 2: column 'text'")
    with pytest.raises(DataError):
        look(rows, [("", "a")])


def test_tokens_are_those_that_the_model_reads():
    from objectives import models

    source = sources.find(settings.Model())
    texts = ["The quick brown fox", "看", "x " * 900]
    reads = models.tokenizer(source, 512)
    counted = tokens.count(source, texts)
    assert counted.lengths == [len(row) for row in reads(texts, truncation=False, verbose=False)["input_ids"]]
    assert (counted.lengths[2], counted.unknown) == (902, 1)
    assert tokens.count(sources.Source("bert-base-chinese", None, "x"), texts) is None


def test_a_survey_needs_no_torch(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{text(i)},{i % 2}\n" for i in range(40)))
    script = (
        "import sys; from objectives import settings, survey\n"
        f"survey.survey(settings.parse({{'task': 'text-classification', 'data': {str(path)!r}}}), 0)\n"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"
