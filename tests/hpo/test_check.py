"""How `hpo check` looks: within the width of a terminal, wide characters included."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pets
import pytest
from rich.cells import cell_len
from support import environment

from hpo.config import Config

Run = Callable[..., Any]
LONG = "一个名字很长很长的类别，长到一行里放不下，还要再长一些才够，因为它说的是许多许多的事情"


def said_on_a_terminal(config: Config, columns: int, *arguments: str) -> list[str]:
    """The lines of stderr where that is a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environ = environment(config) | {"COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", *arguments], env=environ, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so once the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait(60) == 0, said
    return said.decode().splitlines()


@pytest.mark.parametrize("columns", [80, 120])
def test_the_tables_of_chinese_rows_fit_and_stand_in_columns(config: Config, tmp_path: Path, columns: int) -> None:
    texts = [f"{'国足客场取胜赢得满堂喝彩' if i % 2 else '股市今日上涨成交额创下新高'}第{i}场" * 3 for i in range(120)]
    labels = ["体育" if i % 2 else LONG for i in range(120)]
    labels[3] = LONG
    (tmp_path / "行.csv").write_text(
        "标题,类别\n" + "".join(f"{text},{label}\n" for text, label in zip(texts, labels, strict=True)), "utf-8"
    )
    study = tmp_path / "s.yaml"
    data = "{path: 行.csv, text: 标题, label: 类别, split: {valid: 0.2, test: 0}}"
    search = "search: {training.batch_size: [8, 16]}"
    study.write_text(f"study: s\nobjective: {{task: text-classification, data: {data}}}\n{search}\n", "utf-8")
    lines = said_on_a_terminal(config, columns, "check", str(study))
    assert max(cell_len(line) for line in lines if not line.startswith("warning: ")) <= columns
    assert sum(line.startswith("class 一个名字很长") and "…" in line for line in lines) == 1
    (head,) = [line for line in lines if line.startswith("rows of the study")]
    (sport,) = [line for line in lines if line.startswith("class 体育")]
    at = cell_len(head[: head.index("train")])
    assert cell_len(sport[: sport.index("49 % (")]) == at
    (odd,) = [line for line in lines if line.startswith("行.csv:5")]
    assert "…" in odd
    assert any("1 of 120 rows have a label that the most similar training rows contradict" in line for line in lines)


def test_the_survey_is_of_the_rows_that_trials_have(run: Run, tmp_path: Path) -> None:
    """Divided by data.split.seed where there is one, whatever the study's own seed is."""
    file = pets.save(tmp_path)

    def survey(*overrides: str) -> Any:
        words = [word for one in overrides for word in ("--set", one)]
        return json.loads(run("check", str(file), "--json", *words).out)["survey"]

    apart = survey("data.split.seed=7")
    assert apart == survey("seed=7") != survey()
    assert survey("seed=3", "data.split.seed=7") == apart
