"""Studies side by side with real processes: promoted where they were not, beside simple rules, as a chart."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pets
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
Hpo = Callable[..., subprocess.CompletedProcess[str]]
RULES = [word for name in ("majority", "tfidf", "zero-shot") for word in ("--baseline", name)]
POINTS = "points: [{data.shots: 2, training.epochs: 4}, {}]\npruner: none\n"


def refused(hpo: Hpo, *arguments: str) -> str:
    """What is said by a command that ends with an error to act on."""
    done = hpo(*arguments, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A study that searches, and one that tries few rows and all."""
    plain, shots = pets.save(tmp_path), tmp_path / "shots.yaml"
    head = plain.read_text().partition("search:")[0].replace("study: pets", "study: shots")
    shots.write_text(head + POINTS)
    return plain, shots


def test_from_studies_to_a_table(hpo: Hpo, files: tuple[Path, Path], tmp_path: Path) -> None:
    plain, shots = map(str, files)
    hpo("launch", "-s", plain, "-w", "1")
    hpo("launch", "-s", shots, "-w", "1")
    said = refused(hpo, "compare", "pets", "shots")
    assert "pets has no predictions on its test rows: hpo promote -s pets --top 1 makes them" in said
    hpo("promote", "-s", "shots", "--top", "1", "--seeds", "2", "-w", "1", "--out", str(tmp_path / "model"))
    words = ["compare", "pets", shots, "--promote", "-w", "1", *RULES, "--label-text", "pos=good film"]
    check_answer(json.loads(hpo(*words, "--json").stdout))
    check_table(hpo(*words[:3], *RULES[:2], "--out", str(tmp_path / "chart.svg")), tmp_path / "chart.svg")
    check_other_rows(hpo, plain, tmp_path)


def check_answer(found: dict[str, Any]) -> None:
    names = [
        "pets",
        "shots, 2 a class",
        "shots, all rows",
        "majority",
        "tfidf, all rows",
        "tfidf, 2 a class",
        "zero-shot",
    ]
    by_name = {one["name"]: one for one in found["compared"]}
    assert list(by_name) == names
    assert (found["metric"], found["test_rows"], len(found["pairs"])) == ("f1_macro", 12, 21)
    assert by_name["majority"]["measures"]["accuracy"]["mean"] == 0.5
    assert by_name["majority"]["measures"]["f1_macro"]["mean"] == pytest.approx(1 / 3)
    assert by_name["tfidf, all rows"]["measures"]["accuracy"]["mean"] == 1.0  # one word decides
    assert [len(by_name[name]["seeds"]) for name in names] == [5, 2, 2, 0, 0, 2, 0]
    assert by_name["tfidf, 2 a class"]["seeds"] == by_name["shots, 2 a class"]["seeds"]
    assert by_name["shots, 2 a class"]["params"] == {"data.shots": 2, "training.epochs": 4}
    assert by_name["shots, all rows"]["configuration"] == "the defaults"
    assert min(by_name[name]["search_seconds"] for name in names[:3]) > 0
    assert min(by_name[name]["training_seconds"] for name in names[:3]) > 0
    assert by_name["zero-shot"]["training_seconds"] is None
    assert all(0 < pair["p"] <= 1 for pair in found["pairs"])


def check_table(done: subprocess.CompletedProcess[str], chart: Path) -> None:
    assert re.search(r"^ +seeds +accuracy +precision +recall +f1 +95 % interval +search +training", done.stdout)
    assert "12 test rows. The interval is that of f1_macro" in done.stdout
    assert "shots, 2 a class" in chart.read_text("utf-8")
    assert str(chart) in done.stderr


def check_other_rows(hpo: Hpo, plain: str, folder: Path) -> None:
    """Studies of another split are told apart, and so are rows that have changed."""
    hpo("launch", "-s", plain, "-w", "1", "--as", "other", "--set", "data.split.test=10", "--set", "trials=1")
    hpo("promote", "-s", "other", "--top", "1", "--seeds", "1", "-w", "1", "--out", str(folder / "other"))
    said = refused(hpo, "compare", "pets", "other")
    assert "pets and other have other test rows (data.split.test: 12 and 10); right is" in said
    with (folder / "rows.csv").open("a") as rows:
        rows.write("good one more,pos\n")
    hpo("compare", "pets")  # what is kept is enough
    assert "pets: the rows are not those that it was made with" in refused(hpo, "compare", "pets", *RULES[:2])


def test_models_by_domains(hpo: Hpo, files: tuple[Path, Path], tmp_path: Path) -> None:
    """Two shops that call the same words by opposite labels: a model is right at home and wrong at the other."""
    plain, _ = files
    rows = (tmp_path / "rows.csv").read_text().splitlines()[1:]
    other = {"pos": "neg", "neg": "pos"}
    turned = [f"{text},{other[label]},b" for text, label in (row.split(",") for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label,shop", *(f"{row},a" for row in rows), *turned]) + "\n")
    for shop in "ab":
        words = ["--set", f"data.where.shop={shop}", "--set", "data.split.test=24", "--set", "data.split.valid=24"]
        hpo("launch", "-s", str(plain), "-w", "1", "--as", shop, *words, "--set", "training.epochs=4")
    hpo("promote", "-s", "a", "--top", "1", "--seeds", "1", "-w", "1", "--out", str(tmp_path / "a"))
    (tmp_path / "more.csv").write_text("text,label\ngood film,pos\nbad cat,neg\n")
    file, out = str(tmp_path / "more.csv"), tmp_path / "heat.svg"
    words = ["compare", "a", "b", "--promote", "-w", "1", "--on", "a", "--on", "b", "--on", file]
    found = json.loads(hpo(*words, "--metric", "accuracy", "--json", "--out", str(out)).stdout)
    means = {(cell["model"], cell["domain"]): cell["measures"]["accuracy"]["mean"] for cell in found["cells"]}
    assert min(means["a", "a"], means["b", "b"]) > 0.7
    assert max(means["a", "b"], means["b", "a"]) < 0.3
    assert {cell["domain"]: cell["rows"] for cell in found["cells"]}["more.csv"] == 2
    assert min(cell["seen"] for cell in found["cells"] if cell["domain"] == "b" and cell["model"] == "a") > 0
    assert "more.csv" in out.read_text("utf-8")
    said = hpo("compare", str(tmp_path / "a"), "--on", "b").stdout
    assert re.search(r"^trained by +b", said)
    assert "was trained on" not in said  # a folder does not say what it learned from
