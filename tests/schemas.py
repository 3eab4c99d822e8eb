"""Answers of commands, held against the schemas that are published of them."""

from __future__ import annotations

from typing import Any

import jsonschema

from hpo import answers


def check(command: str, answer: Any) -> None:
    """Fails where an answer is not as its schema says, or has a field that the schema does not name."""
    jsonschema.Draft202012Validator(_closed(answers.schema(command))).validate(answer)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False} | found if "properties" in found else found
