"""Make docs/json.md: what `--json` of each command answers (`python docs/schemas.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpo.answers import ANSWERS, schema

PAGE = Path(__file__).parent / "json.md"
HEAD = """# What `--json` answers

Made from `hpo/answers/` by `python docs/schemas.py`; the tests hold what the commands print against it. The JSON
Schema of a command is printed by its option `--json-schema`. Within a version of hpo fields are only ever added. Times
are ISO 8601, durations are seconds. An object without fields here has what a study file, metrics or a machine give it.
"""


def page() -> str:
    """The page: for each command what it answers, and of each object the fields, their types and what it is."""
    return HEAD + "".join(_command(name) for name in ANSWERS)


def _command(name: str) -> str:
    found = schema(name)
    kinds, own = found.get("$defs", {}), str(getattr(ANSWERS[name], "__name__", ""))
    if "properties" in found:
        kinds = {own: found, **kinds}
    lines = (line for kind, held in kinds.items() for line in _object(kind, held))
    return "".join([f"\n## hpo {name}\n\nAnswers {own if 'properties' in found else _type(found)}.\n", *lines])


def _object(kind: str, held: dict[str, Any]) -> Iterator[str]:
    """What an object is, and its fields."""
    yield f"\n**{kind}**: {held['description']}\n\n| field | type |\n|---|---|\n"
    needed = held.get("required", ())
    for name, field in held["properties"].items():
        yield f"| `{name}` | {_type(field)}{'' if name in needed else ', or absent'} |\n"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    inner = field.get("additionalProperties")
    if isinstance(inner, dict):
        return f"object of {_type(inner)}"
    return str(field.get("type", "any"))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
