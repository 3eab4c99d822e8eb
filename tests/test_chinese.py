"""Chinese all the way: columns, labels, names of studies and folders come out as they went in; the Chinese README."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo import fitting, postgres
from hpo import spec as studies
from hpo.config import Config
from hpo.errors import SpecError

ROOT = Path(__file__).parents[1]
HEADLINES = ROOT / "studies" / "data" / "news_zh.csv"
TOPICS = ["财经", "科技", "体育", "文化"]
ENGLISH, CHINESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

Run = Callable[..., subprocess.CompletedProcess[str]]


def save_chinese_bert(folder: Path) -> Path:
    """A tiny BERT that reads the shipped headlines character by character, with as many blocks as bert-base-chinese."""
    import torch
    import transformers

    characters = sorted(set(HEADLINES.read_text("utf-8")) - set("\n,"))
    folder.mkdir(parents=True, exist_ok=True)
    inside = [f"##{character}" for character in characters if character.isascii() and character.isalnum()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *inside]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_chinese_bert(tmp_path / "模型" / "小型中文")


def test_the_checkpoint_knows_every_character(model: Path) -> None:
    import transformers

    with HEADLINES.open(newline="", encoding="utf-8") as file:
        titles = [row["标题"] for row in csv.DictReader(file)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    for title in titles:
        assert [token.removeprefix("##") for token in tokenizer.tokenize(title)] == list(title)


def news(*overrides: str) -> studies.StudySpec:
    return studies.load(studies.find("news-zh"), overrides)


@pytest.mark.parametrize("metric", [f"{kind}[{topic}]" for kind in ("precision", "recall", "f1") for topic in TOPICS])
def test_a_metric_names_a_chinese_class(metric: str) -> None:
    spec = news(f"metric={metric}")
    assert fitting.check_inputs(spec)
    assert spec.direction == "maximize"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("metric=recall[娱乐]", "metric: 'recall[娱乐]' names no class of 类别; known: 体育, 文化, 科技, 财经"),
        ("data.label=标签", "news_zh.csv has no column '标签'; found 标题, 类别"),
        ("model.name=./模型", f"model.name: there is no folder '{ROOT / 'studies' / '模型'}'"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_the_file(override: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        fitting.check_inputs(news(override))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.acceptance
def test_chinese_comes_out_of_every_command_as_it_went_in(
    model: Path, hpo: Run, config: Config, server: postgres.Server, tmp_path: Path
) -> None:
    short = ["trials=1", "pruner=none", "training.epochs=1", "data.split.train=120", "metric=recall[体育]"]
    searched = f"search.model.name=['{model}']"
    words = [word for value in (*short, f"model.name={model}", searched) for word in ("--set", value)]
    said = hpo("launch", "-s", "news-zh", "--as", "新闻研究", *words).stderr
    assert said.startswith("新闻研究: 1 trial, tpe + none, maximize recall[体育]\n")
    assert f"text-classification with {model}\n" in said
    assert "新闻研究: 1 complete, 0 pruned, 0 failed" in said

    assert [file.parent.name for file in config.logs.glob("*/*.log")] == ["新闻研究"]
    assert f"'model.name': '{model}'" in hpo("logs", "-s", "新闻研究", "--trial", "0").stdout

    recalls = {f"recall[{topic}]" for topic in TOPICS}
    listed = unbroken(hpo("trials", "-s", "新闻研究", "--json").stdout)
    (trial,) = json.loads(listed)
    assert recalls <= set(trial["metrics"])
    assert trial["value"] == trial["metrics"]["recall[体育]"]
    assert str(model) in unbroken(hpo("trials", "-s", "新闻研究").stdout)

    best = json.loads(unbroken(hpo("best", "-s", "新闻研究", "--json").stdout))
    assert (best["study"], best["metric"], best["params"]["model.name"]) == ("新闻研究", "recall[体育]", str(model))
    assert "best recall[体育] " in hpo("best", "-s", "新闻研究").stdout
    assert re.search(r"^新闻研究 .* recall\[体育\] ", hpo("studies").stdout, re.MULTILINE)
    shown = json.loads(unbroken(hpo("show", "-s", "新闻研究", "0", "--json").stdout))
    assert (shown["settings"]["data"]["text"], shown["settings"]["data"]["label"]) == ("标题", "类别")

    check_files(hpo, tmp_path, listed, model)
    check_sql(hpo, server, model)


def check_files(hpo: Run, folder: Path, listed: str, model: Path) -> None:
    """Exported files hold what `hpo trials --json` listed."""
    for name in ("试验.json", "试验.csv"):
        hpo("export", "-s", "新闻研究", "--out", str(folder / name))
    assert (folder / "试验.json").read_text("utf-8") == listed
    written = unbroken((folder / "试验.csv").read_text("utf-8"))
    assert written == hpo("trials", "-s", "新闻研究", "--csv").stdout
    (row,) = csv.DictReader(io.StringIO(written))
    assert {f"metrics.recall[{topic}]" for topic in TOPICS} <= set(row)
    assert (row["params.model.name"], row["facts.model"]) == (str(model), str(model))


def check_sql(hpo: Run, server: postgres.Server, model: Path) -> None:
    """Names, labels and values can be asked for, and are shown, as they are."""
    psql = {"PATH": f"{server.bin}{os.pathsep}{os.environ['PATH']}"}

    def sql(statement: str) -> str:
        return hpo("db", "psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-c", statement, **psql).stdout.strip()

    kept = sql("SELECT study, value = (metrics ->> 'recall[体育]')::float8 FROM hpo.trials WHERE study = '新闻研究'")
    assert kept == "新闻研究|t"
    assert sql("SELECT spec #>> '{objective,data,label}', metric FROM hpo.studies") == "类别|recall[体育]"
    assert sql("SELECT text_value FROM hpo.params WHERE name = 'model.name'") == str(model)
    assert "recall[体育]" in unbroken(sql("SELECT metrics, facts, settings FROM hpo.trials"))
    assert "类别" in unbroken(sql("SELECT spec FROM hpo.studies"))
    keys = sql("SELECT json_object_keys(metrics) FROM hpo.best_params").splitlines()
    assert {f"recall[{topic}]" for topic in TOPICS} <= set(keys)


def unbroken(text: str) -> str:
    """The text, in which no character stands as an escape."""
    assert not re.search(r"\\u[0-9a-f]{4}", text)
    assert "\ufffd" not in text
    return text


@pytest.mark.acceptance
def test_a_hub_out_of_reach_is_one_line(hpo: Run, tmp_path: Path) -> None:
    done = hpo("launch", "-s", "news-zh", check=False, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if "Error" in line]
    assert "model.name: cannot load bert-base-chinese (google-bert/bert-base-chinese, " in error
    assert "https://huggingface.co" in error
    assert "Traceback" not in done.stderr


def test_the_two_readmes_have_the_same_blocks() -> None:
    assert FENCED.findall(CHINESE) == FENCED.findall(ENGLISH)


def test_the_two_readmes_name_the_same_things() -> None:
    """Every section, every row of every table, and all that stands in backticks."""
    english, (chinese, glossary) = FENCED.sub("", ENGLISH), FENCED.sub("", CHINESE).split("## 术语\n")
    assert re.findall(r"^#+ ", chinese, re.MULTILINE) == re.findall(r"^#+ ", english, re.MULTILINE)
    assert rows(chinese) == rows(english)
    assert code(chinese) == code(english)
    assert len(rows(glossary)) > 9


def rows(text: str) -> list[Counter[str]]:
    """What stands in backticks in each row of the tables."""
    return [code(line) for line in text.splitlines() if line.startswith("|")]


def code(text: str) -> Counter[str]:
    return Counter(re.findall(r"`([^`]+)`", " ".join(text.split())))


def test_the_two_readmes_lead_to_each_other() -> None:
    assert "](README.zh-CN.md)" in ENGLISH.splitlines()[0]
    assert "](README.md)" in CHINESE.splitlines()[0]
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", CHINESE) if "://" not in target]
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", CHINESE, re.MULTILINE)}
    for target in targets:
        assert target.removeprefix("#") in headings if target.startswith("#") else (ROOT / target).exists(), target
