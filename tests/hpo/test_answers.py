"""What --json prints is what its schema says; those of commands that train are in acceptance/test_json."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import schemas

from hpo import answers
from hpo.cli import COMMANDS, group
from hpo.config import Config
from hpo.spec import load
from hpo.store import open_store

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]


def commands(among: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS if among is group else among.commands:
        command = among.get_command(click.Context(among), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield before + name, command


def test_every_command_with_json_has_a_schema() -> None:
    options = {name: {param.name for param in command.params} for name, command in commands(group)}
    assert {name for name, params in options.items() if "as_json" in params} == set(answers.ANSWERS)
    assert all(("json_schema" in params) == ("as_json" in params) for params in options.values())


@pytest.mark.parametrize("command", answers.ANSWERS)
def test_a_command_prints_its_schema(run: Run, command: str) -> None:
    found = run(*command.split(), "--json-schema")
    assert (found.code, json.loads(found.out)) == (0, answers.schema(command))
    jsonschema.Draft202012Validator.check_schema(answers.schema(command))


@pytest.mark.parametrize(
    "words",
    [
        "studies",
        "status -s toy",
        "trials -s toy",
        "show -s toy 1",
        "best -s toy",
        "cost -s toy --rate 2",
        "workers",
        "cache status",
        "db status",
        "doctor",
    ],
)
def test_an_answer_is_as_its_schema_says(read: Run, words: str) -> None:
    schemas.check(words.partition(" -s ")[0], json.loads(read(*words.split(), "--json").out))


def test_so_is_that_of_a_study_that_was_not_begun(run: Run, config: Config, toy_file: Path) -> None:
    with open_store(config) as store:
        store.create(load(toy_file))
        store.enqueue("toy", [{"simulated.batch_size": 8}])
    for words in ("status -s toy", "trials -s toy", "show -s toy 0", "cost -s toy", "studies"):
        schemas.check(words.split()[0], json.loads(run(*words.split(), "--json").out))
    schemas.check("check", json.loads(run("check", str(toy_file), "--dry-run", "--json").out))


def test_a_field_that_no_schema_names_is_found() -> None:
    row = {"check": "a", "state": "ok", "found": "b", "mend": None}
    schemas.check("doctor", [row])
    for wrong in (row | {"more": 1}, row | {"state": "bad"}, {"check": "a"}):
        with pytest.raises(jsonschema.ValidationError):
            schemas.check("doctor", [wrong])


def test_the_page_is_made_from_the_schemas() -> None:
    page = ROOT / "docs" / "json.md"
    assert page.read_text("utf-8") == runpy.run_path(str(ROOT / "docs" / "schemas.py"))["page"]()
