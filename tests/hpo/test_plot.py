"""Pictures of studies: what is drawn, in which fonts, and one line where something is missing."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.font_manager import FontProperties, fontManager, get_font
from support import environment

from hpo import importance
from hpo.config import Config
from hpo.errors import StudyError
from hpo.plots import KINDS, draw, fonts
from hpo.plots.draw import Order
from hpo.plots.story import Axis, Story, brief
from hpo.space import Categorical, Float, Int
from hpo.spec import StudySpec, load
from hpo.store import Store

TREE = {
    "study": "新闻",
    "objective": {"task": "text-classification", "data": {"path": "rows.csv"}},
    "search": {
        "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "data.text": ["标题", "摘要"],
        "model.dropout": [None, 0.1],
        "model.pretrained": [True, False],
        "model.frozen_layers": {"low": 0, "high": 6},
    },
    "trials": 12,
}
Run = Callable[..., Any]
BEGUN = datetime(2026, 11, 22, tzinfo=UTC)


def shares(story: Story) -> dict[str, float]:
    """Equal ones: how they are found is another matter."""
    return {axis.address: 1 / len(story.axes) for axis in story.axes}


def trial(number: int, state: str, value: float | None) -> dict[str, Any]:
    params = {
        "training.learning_rate": 1e-5 * 10 ** (number / 6),
        "data.text": ["标题", "摘要"][number % 2],
        "model.dropout": [None, 0.1][number % 2],
        "model.pretrained": number % 3 > 0,
        "model.frozen_layers": number % 7,
    }
    return {"number": number, "state": state, "value": value, "best_value": value, "params": params}


def attempt(row: dict[str, Any]) -> dict[str, Any]:
    start = BEGUN + timedelta(seconds=40 * row["number"])
    outcome = {"FAIL": "fail", "RUNNING": None}.get(row["state"], row["state"].lower())
    known = {"number": row["number"], "state": row["state"], "attempt": 1, "outcome": outcome, "host": "here"}
    return known | {"worker": f"here.1.{row['number'] % 2}", "started": start, "until": start + timedelta(seconds=60)}


def spent(row: dict[str, Any]) -> dict[str, Any]:
    """What a trial of one attempt took; the failed one's first of two was in vain for the most part."""
    known = {"number": row["number"], "state": row["state"], "work": 60.0, "earlier": 0.0, "waiting": 0.0}
    known |= {"begun": True, "open": row["state"] == "RUNNING"}
    known |= {"phases": {"train": 20.0}, "devices": {"cpu": 60.0}, "by_pruner": False, "cached": False}
    return known | ({"earlier": 30.0} if row["state"] == "FAIL" else {})


@pytest.fixture
def story() -> Story:
    """A study in Chinese with a trial of each state; the last complete one is the best."""
    states = ["COMPLETE", "PRUNED", "PRUNED"] * 3
    trials = [trial(number, state, 1.0 - number / 20) for number, state in enumerate(states)]
    trials += [trial(9, "FAIL", None), trial(10, "RUNNING", 0.1)]
    curves = [
        {"number": row["number"], "step": step, "epoch": float(step), "value": 2 * row["best_value"] / step}
        for row in trials
        if row["best_value"]
        for step in (1, 2)
    ]
    best = trials[6] | {"metric": "val_loss"}
    took = [spent(row) for row in trials]
    return Story(StudySpec.from_dict(TREE), "minimize", trials, curves, [attempt(row) for row in trials], best, took)


def texts(path: Path) -> str:
    """All that stands in an SVG."""
    found = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - our own
    return "\n".join(node.text or "" for node in found)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_study_metric_direction_and_trials(kind: str, story: Story, tmp_path: Path) -> None:
    assert draw.save(story, Order(tmp_path / "x.svg", [kind]), shares) == ([tmp_path / "x.svg"], [])
    said = texts(tmp_path / "x.svg")
    assert "新闻  ·  val_loss, minimize  ·  11 trials" in said


def drawn(story: Story, kind: str, folder: Path, *params: str) -> list[str]:
    draw.save(story, Order(folder / f"{kind}.svg", [kind], params), shares)
    return texts(folder / f"{kind}.svg").splitlines()


def test_states_and_the_best_are_marked(story: Story, tmp_path: Path) -> None:
    assert drawn(story, "history", tmp_path)[-5:] == ["complete", "pruned", "failed", "best so far", "best"]
    assert drawn(story, "curves", tmp_path)[-4:] == ["complete", "pruned", "running", "best"]
    assert drawn(story, "timeline", tmp_path)[-4:] == ["complete", "pruned", "failed", "running"]
    cost = drawn(story, "cost", tmp_path)
    assert {"03:00", "3 trials", "06:00", "6 trials", "01:00", "00:30", "1 trial", "repeated"} <= set(cost)


def test_choices_and_addresses_are_readable(story: Story, tmp_path: Path) -> None:
    for kind in ("slice", "parallel"):
        said = drawn(story, kind, tmp_path)
        assert {"标题", "摘要", "null", "0.1", "true", "false", "learning_rate", "frozen_layers"} <= set(said), kind
    assert "val_loss over learning_rate and frozen_layers" in drawn(story, "contour", tmp_path)
    assert "val_loss over text and dropout" in drawn(story, "contour", tmp_path, "data.text", "dropout")
    assert "dropout" not in drawn(story, "slice", tmp_path, "text")


def test_a_log_range_is_drawn_on_a_log_axis() -> None:
    rate = Axis("a.rate", "rate", Float(1e-5, 1e-1, log=True))
    assert [round(rate.share(value), 3) for value in (1e-5, 1e-3, 1e-1)] == [0, 0.5, 1]
    assert Axis("a.rate", "rate", Float(0.0, 1.0)).share(0.25) == 0.25
    assert Axis("a.layers", "layers", Int(3, 3)).share(3) == 0.5


def test_a_choice_is_found_by_value_and_kind() -> None:
    axis = Axis("a.b", "b", Categorical((1, True, None, "no")))
    assert [axis.place(value) for value in (1, True, None, "no")] == [0, 1, 2, 3]
    assert math.isnan(axis.place("yes"))
    assert brief("/a/long/path/to/a/model/folder") == "…ath/to/a/model/folder"


def test_the_better_end_of_a_metric_is_its_own(story: Story, tmp_path: Path) -> None:
    """Best so far climbs where a metric is better high."""
    high = dataclasses.replace(story, direction="maximize", best=story.trials[0] | {"metric": "accuracy"})
    assert any("val_loss, maximize" in line for line in drawn(high, "history", tmp_path))
    assert high.sign == -1


def test_a_page_needs_nothing_from_elsewhere(story: Story, tmp_path: Path) -> None:
    draw.save(story, Order(tmp_path / "x.html", ()), shares)
    page = (tmp_path / "x.html").read_text("utf-8")
    assert re.findall(r'<figure id="(\w+)"', page) == list(KINDS)
    assert page.count("<svg ") == page.count('role="img" aria-label="') == len(KINDS)
    assert not re.search(r"<script|<link|@import|src=|url\(http", page)
    assert len(set(re.findall(r'\bid="([^"]+)"', page))) == len(re.findall(r'\bid="([^"]+)"', page))
    for svg in re.findall(r"<svg .*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314 - our own


def test_a_dollar_and_an_angle_are_themselves(story: Story, tmp_path: Path) -> None:
    renamed = dataclasses.replace(story, spec=dataclasses.replace(story.spec, study="a<b>$x_1$"))
    draw.save(renamed, Order(tmp_path / "x.svg", ["history"]), shares)
    draw.save(renamed, Order(tmp_path / "x.html", ["history"]), shares)
    assert "a<b>$x_1$" in texts(tmp_path / "x.svg")
    assert "<h1>a&lt;b&gt;$x_1$</h1>" in (tmp_path / "x.html").read_text("utf-8")


def test_chinese_has_shapes_in_png(story: Story, tmp_path: Path) -> None:
    """A letter without a shape would be a warning, and so an error here."""
    written, said = draw.save(story, Order(tmp_path / "x.png", ()), shares)
    assert [path.name for path in written] == [f"x-{kind}.png" for kind in KINDS]
    assert said == []
    for path in written:
        assert struct.unpack(">II", path.read_bytes()[16:24]) == (1200, 700)
    found = fonts.choose(story.texts())
    assert found.lacking == frozenset()
    files = [get_font(fontManager.findfont(FontProperties(family=name))) for name in found.families]
    assert all(any(font.get_char_index(ord(letter)) for font in files) for letter in "新闻标题摘要")


def test_without_a_chinese_font_a_line_says_what_to_install(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_fallbacks", lambda: iter(()))
    _, said = draw.save(story, Order(tmp_path / "x.png", ["slice"]), shares)
    assert said == [fonts.notice("新闻标题摘要")]
    assert "fonts-noto-cjk" in said[0]
    draw.save(story, Order(tmp_path / "x.svg", ["slice"]), shares)
    assert {"标题", "摘要"} <= set(texts(tmp_path / "x.svg").splitlines())


def test_fonts_of_the_machine_come_before_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    own = next(entry for entry in fontManager.ttflist if entry.name == fonts.FIRST)
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist, dataclasses.replace(own, name=fonts.KNOWN[0])])
    assert next(fonts._fallbacks()) == fonts.KNOWN[0]


@pytest.mark.parametrize(
    ("kind", "few"),
    [
        ("history", "history needs a trial that has ended with a value; there are 0"),
        ("curves", "curves needs a trial that was evaluated; there is none"),
        ("slice", "slice needs a trial that has ended with a value; there are 0"),
        ("parallel", "parallel needs 2 trials that have ended with a value; there are 0"),
        ("contour", "contour needs 3 trials that have ended with a value; there are 0"),
        ("timeline", "timeline needs an attempt at a trial; there is none"),
        ("cost", "cost needs a trial that has ended with a value; there are 0"),
        ("importance", "importance needs 8 trials that have ended with different values; there are 0"),
    ],
)
def test_an_empty_study_is_one_line(kind: str, few: str, run: Run, store: Store, toy_file: Path) -> None:
    store.create(load(toy_file))
    done = run("plot", "-s", "toy", kind)
    assert (done.code, done.out, done.err) == (1, "", f"Error: toy: {few}\n")


def test_what_cannot_be_drawn_yet_is_said_on_the_page(read: Run, tmp_path: Path) -> None:
    done = read("plot", "-s", "toy", "--out", str(tmp_path / "toy.html"))
    assert (done.code, done.out, done.err) == (0, f"{tmp_path / 'toy.html'}\n", "")
    page = (tmp_path / "toy.html").read_text("utf-8")
    assert "<p>toy: importance needs 8 trials that have ended with different values; there are 3</p>" in page
    assert re.findall(r'<figure id="(\w+)"', page) == [kind for kind in KINDS if kind != "importance"]


def test_the_page_is_named_after_the_study(read: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("plot", "-s", "toy", "history").out == "toy.html\n"
    assert (tmp_path / "toy.html").exists()


def test_mistakes_are_one_line(read: Run, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        done = read("plot", "-s", "toy", *words)
        assert (done.code, done.out) == (1, "")
        return done.err

    assert said("--out", "x.pdf") == "Error: --out x.pdf: a file ending in .html, .png or .svg is right\n"
    missing = tmp_path / "none" / "x.svg"
    assert said("history", "--out", str(missing)) == (
        f"Error: --out {missing}: there is no folder {missing.parent}; make it, or name another\n"
    )
    unknown = "toy: --param rate: not searched; searched are simulated.learning_rate, simulated.batch_size, simulated"
    assert said("slice", "--param", "rate").startswith(f"Error: {unknown}")
    assert "contour needs two parameters" in said("contour", "--param", "optimizer")
    assert said("cost", "--param", "optimizer").startswith(
        "Error: --param is for slice, parallel, contour; asked for: c"
    )
    assert read("plot", "-s", "toy", "pie").code == 2
    assert (
        read("plot", "-s", "none").err
        == "Error: none: no such study in the database; hpo studies lists them, hpo launch makes one\n"
    )


def test_without_the_extra_a_line_says_what_to_install(read: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    done = read("plot", "-s", "toy")
    assert done.err == "Error: hpo plot needs the extra plot; pip install matplotlib pylopdf-fonts-zh-cn\n"
    assert done.code == 1


def test_drawing_imports_neither_optuna_nor_torch(toy: Config, tmp_path: Path) -> None:
    """Nor matplotlib's windows; Optuna comes with the importance alone, torch never."""
    kinds = [kind for kind in KINDS if kind != "importance"]
    code = (
        "import sys; from hpo.cli import _run; "
        f"assert _run(['plot', '-s', 'toy', '--out', {str(tmp_path / 'x.png')!r}, *{kinds}]) == 0; "
        "assert not {'optuna', 'torch', 'matplotlib.pyplot', 'tkinter'} & set(sys.modules); "
        "import hpo.importance; assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(toy), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_importance_is_of_what_decides() -> None:
    space = {"a.decides": Float(1e-5, 1e-1, log=True), "a.idle": Float(0.0, 1.0), "a.word": Categorical(("x", None))}
    points = [
        ({"a.decides": 10 ** (-5 + at / 10), "a.idle": (at * 0.618) % 1, "a.word": ("x", None)[at % 2]}, float(at))
        for at in range(40)
    ]
    for direction in ("minimize", "maximize"):
        found = importance.importances(space, [*points, ({"a.idle": 0.5}, 0.0)], direction)
        assert next(iter(found)) == "a.decides"
        assert found["a.decides"] > 0.7
        assert sum(found.values()) == pytest.approx(1)


def test_an_unknown_parameter_is_named(story: Story) -> None:
    with pytest.raises(StudyError, match=r"新闻: --param nothing: not searched; searched are training.learning_rate, "):
        story.chosen(["nothing"])
