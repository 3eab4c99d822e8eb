"""The mechanisms of exactness, what disables each, and the tests that must notice: `mechanisms.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A mechanism, the one place in a file that is replaced to disable it, and its tests, as pytest names them."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]


MUTATIONS = [
    Mutation(**found) for found in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["mechanism"]
]
