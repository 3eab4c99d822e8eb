"""The texts say what the code says: tables, commands, variables, layout. What they run is in acceptance/test_readme."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest

from hpo.checks import Head
from hpo.cli import COMMANDS, group
from hpo.config import VARIABLES
from hpo.methods import PRUNERS, SAMPLERS, Method
from hpo.schema.views import VIEWS
from objectives.measures import METRICS
from objectives.settings import Setting, Simulated, Transfer
from objectives.switches import PIECES
from objectives.tasks import TASKS

ROOT = Path(__file__).parents[1]
NAMES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/deployment.md")
TEXTS = [ROOT / name for name in NAMES]
README, ARCHITECTURE = (ROOT / name for name in ("README.md", "docs/architecture.md"))
CHINESE = ROOT / "README.zh-CN.md"
BOTH = README.read_text("utf-8") + CHINESE.read_text("utf-8")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def code(text: str) -> str:
    """Only what stands in blocks and backticks."""
    return "\n".join(CODE.findall(text))


def table(text: str, head: str) -> list[tuple[str, ...]]:
    """The rows of the table whose header line begins so."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(head))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return found


def leaves(kind: type[Setting]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of every setting, and its JSON schema."""
    schema = kind.model_json_schema()

    def walk(group: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, field in group["properties"].items():
            inner = schema.get("$defs", {}).get(field.get("$ref", "").rpartition("/")[2])
            if inner:
                yield from walk(inner, f"{at}{name}.")
                if inner["additionalProperties"]:
                    yield f"{at}{name}.COLUMN", {"type": "values"}
            else:
                required = {} if name not in group.get("required", ()) else {"needed": True}
                yield at + name, field | required

    return walk(schema, "")


def right(field: dict[str, Any]) -> str:
    """What a setting takes, in words."""
    if [one.get("type") for one in field.get("anyOf", [])][:2] == ["integer", "number"]:
        return "rows or share" + " or `null`" * ({"type": "null"} in field["anyOf"])
    if "anyOf" in field:
        return " or ".join(right(one) for one in field["anyOf"])
    if set(field.get("enum", ())) == TASKS.keys():
        return "a task"  # named under Tasks
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    names["values"] = "a value or a list"
    words = [names.get(field.get("type", ""), f"`{field.get('type', 'null')}`")]
    limits = {"minimum": "from", "exclusiveMinimum": "above", "exclusiveMaximum": "below", "maximum": "to"}
    words += [f"{word} {field[name]:g}" for name, word in limits.items() if name in field]
    return " ".join(words)


def default(field: dict[str, Any]) -> str:
    """A default as a study file would have it."""
    if field.get("needed"):
        return "needed"
    value = field.get("default")
    return f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def settings(kind: type[Setting]) -> list[tuple[str, ...]]:
    """The first three columns of a table of settings."""
    return [(f"`{address}`", default(field), right(field)) for address, field in leaves(kind)]


def methods(kinds: dict[str, type[Method]]) -> list[tuple[str, ...]]:
    """The first two columns of a table of samplers or pruners: each with its options and their defaults."""
    rows: list[tuple[str, ...]] = []
    for name, kind in kinds.items():
        fields = [(option, field) for option, field in leaves(kind) if option != "kind"]
        options = [option if field.get("needed") else f"{option}: {_plain(field)}" for option, field in fields]
        rows.append((f"`{name}`", f"`{', '.join(options)}`" if options else "none"))
    return rows


def _plain(field: dict[str, Any]) -> str:
    value = field.get("default")
    return str(value["kind"]) if isinstance(value, dict) else default(field).strip("`")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_text_is_tidy(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 or line != line.rstrip() or "\t" in line] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_text_names_only_files_that_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    links = [target for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in target]
    assert [target for target in links if not (path.parent / target).exists()] == []
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


PICTURES = sorted(set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", BOTH)))


@pytest.mark.parametrize("path", PICTURES)
def test_a_picture_is_whole_small_and_tells_of_no_machine(path: str) -> None:
    content = (ROOT / path).read_bytes()
    assert len(content) < 150_000
    if path.endswith(".png"):
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
        return
    said = "".join(ElementTree.fromstring(content).itertext())  # noqa: S314 - our own
    assert not re.search(r"/(home|root|tmp|work)/|\bvm\.\d", said)
    assert b"url(http" not in content


def test_the_readmes_show_the_same_pictures() -> None:
    assert len(PICTURES) > 3
    shown = [re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text("utf-8")) for path in (README, CHINESE)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_text_installs_under_the_distributions_name(path: Path) -> None:
    assert not re.search(r"pip install (-\S+ )*'?hpo\b(?!-transfer)", path.read_text("utf-8"))


@pytest.mark.parametrize(("head", "kind"), [("| setting |", Transfer), ("| simulated setting |", Simulated)])
def test_the_settings_are_those_of_the_code(head: str, kind: type[Setting]) -> None:
    assert [row[:3] for row in table(README.read_text("utf-8"), head)] == settings(kind)


def test_the_keys_of_a_study_file_are_those_of_the_code() -> None:
    named = [row[:2] for row in table(README.read_text("utf-8"), "| key |")]
    assert named == [(f"`{name}`", default(field)) for name, field in leaves(Head)]


@pytest.mark.parametrize(("head", "kinds"), [("| sampler |", SAMPLERS), ("| pruner |", PRUNERS)])
def test_samplers_and_pruners_are_those_of_the_code(head: str, kinds: dict[str, type[Method]]) -> None:
    assert [row[:2] for row in table(README.read_text("utf-8"), head)] == methods(kinds)


def test_every_metric_and_task_is_named() -> None:
    named = code(README.read_text("utf-8"))
    assert [name for name in (*METRICS, *TASKS) if f"`{name}`" not in named] == []


def test_every_family_whose_layers_freeze_is_named() -> None:
    from objectives.layers import FAMILIES

    named = README.read_text("utf-8").partition("Known families: ")[2].partition(";")[0]
    assert re.findall(r"`([^`]+)`", named) == sorted(FAMILIES)


def test_the_variables_are_those_of_the_code() -> None:
    assert [row[0] for row in table(README.read_text("utf-8"), "| variable |")] == [
        f"`{name}`" for name in VARIABLES.values()
    ]


def test_the_pieces_of_a_lean_step_are_those_of_the_code() -> None:
    assert [row[0] for row in table(README.read_text("utf-8"), "| piece |")] == [f"`{name}`" for name in PIECES]


def commands() -> dict[str, click.Command]:
    """Every command by the words that call it."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in COMMANDS}
    groups = {name: command for name, command in found.items() if isinstance(command, click.Group)}
    inner = {f"{at} {name}": command for at, group in groups.items() for name, command in group.commands.items()}
    return {name: command for name, command in found.items() if command is not None and name not in groups} | inner


def test_the_commands_are_those_of_the_code() -> None:
    text = README.read_text("utf-8")
    assert {row[0] for row in table(text, "| command |")} == {f"`hpo {name}`" for name in commands()}


def test_every_command_that_a_text_names_exists() -> None:
    known = {*commands(), "db", "cache"}
    for path in TEXTS:
        called = re.findall(r"\bhpo ((?:db|cache) [a-z]+|[a-z][a-z-]+)", code(path.read_text("utf-8")))
        assert set(called) <= known, path


@pytest.mark.parametrize("name", commands())
def test_every_option_of_a_command_is_in_the_readme(name: str) -> None:
    named = code(README.read_text("utf-8"))
    params = commands()[name].params
    options = [option for param in params for option in param.opts if option.startswith("--")]
    assert [option for option in options if option not in named] == []


def test_the_columns_of_the_views_are_those_of_the_database(url: str) -> None:
    from contextlib import closing

    import psycopg2

    from hpo.database import parse_url

    plain = parse_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    listed = " ".join(README.read_text("utf-8").split())
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
        for view in (*VIEWS, "attempts", "wishes"):
            cursor.execute(f"SELECT * FROM hpo.{view} LIMIT 0")
            columns = ", ".join(column.name for column in cursor.description or ())
            assert f"- `hpo.{view}`: {columns}." in listed


def test_the_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in TEXTS:
        assert set(re.findall(r"\bmake ([a-z]+)\b", code(path.read_text("utf-8")))) <= targets, path


def test_the_architecture_lists_every_module() -> None:
    named = [row[0].strip("`") for row in table(ARCHITECTURE.read_text("utf-8"), "| module |")]
    assert sorted(named) == sorted(
        str(path.relative_to(ROOT))
        for package in ("hpo", "objectives")
        for path in (ROOT / package).rglob("*.py")
        if path.read_text("utf-8").strip()
    )


def test_the_architecture_shows_the_layers_of_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    text = ARCHITECTURE.read_text("utf-8")
    for contract in contracts:
        if contract["type"] == "layers":
            assert "\n".join(contract["layers"]) in text
