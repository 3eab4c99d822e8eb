"""How a study is named to the commands: by its name, its file, or wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo import spec as studies
from hpo.config import Config
from hpo.store import open_store

Run = Callable[..., Any]
UNKNOWN = "Error: nowhere: no such study in the database; hpo studies lists them, hpo launch makes one"


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "cancel", "requeue"])
def test_a_study_that_is_not_there_is_controlled_by_nobody(run: Run, verb: str) -> None:
    options = {"cancel": ["-y"], "requeue": ["--failed"]}.get(verb, [])
    found = run(verb, "-s", "nowhere", *options)
    assert (found.code, found.err) == (1, f"{UNKNOWN}\n")


OF_A_STUDY = [
    *([["status"], ["trials"], ["trials", "--json"], ["trials", "--csv"], ["show", "0"], ["best"], ["best", "--json"]]),
    *([["export"], ["delete", "-y"], ["enqueue", "--set", "simulated.batch_size=8"]]),
]


@pytest.mark.parametrize("command", OF_A_STUDY, ids=" ".join)
def test_an_unknown_study_is_one_line(read: Run, command: list[str]) -> None:
    found = read(*command, "-s", "nowhere")
    assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
    assert found.err.startswith(UNKNOWN)


def test_an_unknown_trial_is_one_line(read: Run) -> None:
    found = read("show", "-s", "toy", "99")
    assert (found.code, found.err) == (1, "Error: toy: there is no trial 99; hpo trials -s toy lists them\n")


READING = [command for command in OF_A_STUDY if command[0] not in ("delete", "enqueue")]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_study_may_be_named_by_its_file(
    read: Run, command: list[str], toy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy_file.parent)
    by_name = read(*command, "-s", "toy")
    assert by_name.code == 0
    for path in (str(toy_file), "toy.yaml", "./toy.yaml"):
        assert read(*command, "-s", path) == by_name


@pytest.mark.parametrize("command", [*OF_A_STUDY, ["logs"], ["launch"]], ids=" ".join)
def test_a_file_that_is_not_there_is_one_line(read: Run, command: list[str]) -> None:
    found = read(*command, "-s", "nowhere.yaml")
    assert (found.code, found.out, found.err) == (1, "", "Error: nowhere.yaml: no such study file\n")


def test_a_shipped_study_goes_by_its_name_and_its_file(run: Run, config: Config) -> None:
    file = studies.shipped()["spam"]
    with open_store(config) as store:
        store.create(studies.load(file))
    for name in ("spam", str(file)):
        found = run("status", "-s", name, "--json")
        assert json.loads(found.out)["study"] == "spam", found.err
        assert run("enqueue", "-s", name, "--set", "training.label_smoothing=0.1").code == 0
