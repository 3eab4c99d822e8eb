"""The end of a study with real processes: retrained, tested once, killed and gone on with, written, used."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pets
import pytest
from support import environment, wait_until

from hpo import report
from hpo.config import Config

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
Done = subprocess.CompletedProcess[str]
Hpo = Callable[..., Done]
BRIEFLY = ("promote", "-s", "pets", "--top", "1", "--seeds", "2", "-w", "1")


@pytest.fixture
def launched(hpo: Hpo, tmp_path: Path) -> Path:
    """The study file of a study that has run to its end."""
    file = pets.save(tmp_path)
    hpo("launch", "-s", str(file), "-w", "1")
    return file


def refused(hpo: Hpo, *arguments: str, **environ: str) -> str:
    """What is said by a command that ends with an error to act on."""
    done = hpo(*arguments, check=False, **environ)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_from_a_study_to_labelled_rows(hpo: Hpo, config: Config, launched: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "model")
    found = json.loads(hpo(*BRIEFLY, "--out", out, "--json").stdout)
    check_answer(found)
    check_folder(Path(out))
    check_again(hpo, Path(out), found)
    check_kept(config)
    check_labels(hpo, out, tmp_path)
    check_is_a_companion(hpo)


def check_answer(found: dict[str, Any]) -> None:
    first, *others = found["configurations"]
    assert [one["verdict"] for one in found["configurations"]].count("winner") == 1
    assert [one["defaults"] for one in (first, *others)].count(True) == 1
    assert (found["tested"], found["test_rows"], len(found["seeds"])) == ("test_loss", 12, 2)
    means = [one["valid"]["mean"] for one in found["configurations"]]
    assert next(one for one in found["configurations"] if one["winner"])["valid"]["mean"] == min(means)
    assert first["test"]["low"] < first["test"]["mean"] < first["test"]["high"]
    assert {trial["seed"] for trial in first["trials"]} == {*found["seeds"]}
    assert "test_f1_macro" in first["trials"][0]["metrics"]


def check_folder(out: Path) -> None:
    text = (out / "README.md").read_text("utf-8")
    for part in ("pipeline(", "| test_accuracy |", "fingerprint of the rows", "pets@promote, trial ", "torch "):
        assert part in text
    note = json.loads((out / "hpo.json").read_text())
    assert (note["study"], note["classes"]) == ("pets", ["neg", "pos"])


def check_again(hpo: Hpo, out: Path, found: dict[str, Any]) -> None:
    """The same command trains nothing, others are told apart, and what is not ours stays."""
    assert json.loads(hpo(*BRIEFLY, "--out", str(out), "--json").stdout) == found
    shown = hpo("promote", "-s", "pets", "--out", str(out))  # as before, where it does not say otherwise
    assert "The test rows chose nothing." in shown.stdout
    assert f"hpo predict --model {out} FILE" in shown.stderr
    other = refused(hpo, "promote", "-s", "pets", "--top", "2", "--fit", "all", "--out", str(out))
    assert "--top: 1 -> 2\n  --fit: train -> all\nreplace it: hpo promote -s pets --again" in other
    strange = out.parent / "strange"
    strange.mkdir()
    (strange / "mine.txt").write_text("mine")
    assert "is no folder that a promotion of pets wrote" in refused(hpo, *BRIEFLY, "--out", str(strange))
    assert (strange / "mine.txt").read_text() == "mine"


def check_kept(config: Config) -> None:
    """Predictions of the search on valid, of the companion on test, each in the view too."""
    with report.read(config) as rows:
        assert {len(row["truth"]) for row in rows.predictions("pets", "valid")} == {12}
        assert rows.predictions("pets", "test") == rows.predictions("pets@promote", "valid") == []
        for row in rows.predictions("pets@promote", "test"):
            last = rows.curve("pets@promote", row["number"])[-1]
            right = sum(a == b for a, b in zip(row["truth"], row["predicted"], strict=True))
            assert right / 12 == pytest.approx(last["metrics"]["test_accuracy"])
            assert row["step"] == last["step"]


def check_labels(hpo: Hpo, out: str, folder: Path) -> None:
    (folder / "new.csv").write_text("id,text\n1,good film\n2,bad song\n")
    new = str(folder / "new.csv")
    head, *lines = hpo("predict", "--model", out, new).stdout.splitlines()
    assert head == "id,text,prediction,probability"
    assert {line.split(",")[2] for line in lines} <= {"pos", "neg"}
    hpo("predict", "--model", out, new, "--out", str(folder / "new.json"))
    found = json.loads((folder / "new.json").read_text())
    assert [sorted(row) for row in found] == [["id", "prediction", "probability", "text"]] * 2
    (folder / "other.csv").write_text("words\ngood\n")
    other = str(folder / "other.csv")
    said = "has no column 'text'; found words: name the one to read with --text"
    assert said in refused(hpo, "predict", "--model", out, other)
    assert json.loads(hpo("predict", "--model", out, other, "--text", "words", "--json").stdout)[0]["words"] == "good"


def check_is_a_companion(hpo: Hpo) -> None:
    for verb in ("rename", "copy"):
        said = refused(hpo, verb, "-s", "pets@promote", "mine")
        assert "pets@promote belongs to pets, and has no name or copy of its own" in said
    assert "is a companion; promote the study itself" in refused(hpo, "promote", "-s", "pets@promote")
    said = hpo("delete", "-s", "pets", "-y").stderr
    stays = re.search(r"its retrainings stay, with models in (.+): hpo delete -s pets@promote", said)
    assert stays is not None
    assert list(Path(stays[1]).rglob("model.safetensors"))
    hpo("delete", "-s", "pets@promote", "-y")
    assert not Path(stays[1]).exists()


def test_a_model_with_virtual_tokens_labels_rows(hpo: Hpo, tmp_path: Path) -> None:
    """Its files lie in a folder inside the model's own."""
    file, out = pets.save(tmp_path), tmp_path / "model"
    hpo("launch", "-s", str(file), "-w", "1", "--set", "model.adapter=prefix", "--set", "trials=1")
    hpo("promote", "-s", "pets", "--top", "1", "--seeds", "1", "-w", "1", "--out", str(out))
    said = hpo("predict", "--model", str(out), str(tmp_path / "rows.csv")).stdout
    assert len(said.splitlines()) == 61
    assert (out / "model" / "model.safetensors").is_file()


def test_a_worker_and_the_command_are_killed_and_the_same_command_goes_on(
    hpo: Hpo, config: Config, launched: Path, tmp_path: Path
) -> None:
    words = [*BRIEFLY, "--out", str(tmp_path / "model"), "--json"]
    first = subprocess.Popen([sys.executable, "-m", "hpo", *words], env=environment(config), start_new_session=True)
    with report.read(config) as rows:
        wait_until(lambda: any(row["study"] == "pets@promote" for row in rows.workers()))
        os.kill(next(row["pid"] for row in rows.workers()), signal.SIGKILL)
        wait_until(lambda: rows.study("pets@promote")["complete"] > 0)
        first.kill()
        first.wait()
        found = json.loads(hpo(*words).stdout)
        counts = rows.study("pets@promote")
    points = len(found["configurations"]) * 2
    assert (counts["complete"], counts["made"], counts["failed"]) == (points, points, 0)
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_a_place_that_cannot_be_written_gives_the_trial_back(hpo: Hpo, launched: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is needed")
    words = [*BRIEFLY, "--out", str(tmp_path / "model")]
    said = refused(hpo, *words, HPO_ARTIFACTS=str(blocked))
    assert "the model of trial 0 is not saved" in said
    assert "run the same command again" in said
    assert json.loads(hpo("status", "-s", "pets@promote", "--json").stdout)["failed"] == 0
    hpo(*words)
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_all_rows_are_fitted_where_that_is_asked_for(hpo: Hpo, launched: Path, tmp_path: Path) -> None:
    words = [*BRIEFLY, "--out", str(tmp_path / "model")]
    found = json.loads(hpo(*words, "--fit", "all", "--json").stdout)
    assert found["configurations"][0]["winner"]
    assert found["configurations"][0]["valid"] is None
    assert found["facts"]["rows"] == {"train": 48, "valid": 0, "test": 12}
    assert "the best of the search: no row was left to validate on" in hpo(*words).stdout
    assert json.loads(hpo(*words, "--fit", "train", "--again", "-y", "--json").stdout)["fit"] == "train"
    with (launched.parent / "rows.csv").open("a") as rows:
        rows.write("good one more,pos\n")
    assert "the rows are not those that it was made with" in refused(hpo, *words, "--again", "-y")
    assert json.loads(hpo("status", "-s", "pets@promote", "--json").stdout)["state"] == "complete"
