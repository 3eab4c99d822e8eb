"""What `--json` of each command answers: the types, and their JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from hpo.answers.check import Check, Ranking
from hpo.answers.cost import Cost
from hpo.answers.finish import Comparison, Labelled, Matrix, Promoted
from hpo.answers.machine import Cache, Finding, Server
from hpo.answers.mistakes import Errors
from hpo.answers.study import Best, Shown, Status, Study, Trial, Worker

ANSWERS: Mapping[str, Any] = {
    "check": Check,
    "rank-models": Ranking,
    "studies": list[Study],
    "status": Status,
    "workers": list[Worker],
    "trials": list[Trial],
    "show": Shown,
    "best": Best,
    "errors": Errors,
    "cost": Cost,
    "promote": Promoted,
    "compare": Comparison | Matrix,
    "predict": list[Labelled],
    "doctor": list[Finding],
    "cache status": Cache,
    "db status": Server,
}
"""What each command answers, by the words that call it."""


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command's answer; KeyError where it has none."""
    found = TypeAdapter(ANSWERS[command]).json_schema()
    said = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hpo {command} --json"}
    return said | {name: value for name, value in found.items() if name != "title"}
