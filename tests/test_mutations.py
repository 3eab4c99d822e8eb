"""The list of mechanisms to disable keeps up with the code; bench/mutations.py itself takes half an hour."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.mechanisms import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("one", MUTATIONS, ids=lambda one: one.name)
def test_a_mechanism_is_there_once_and_has_its_tests(one: Mutation) -> None:
    assert (ROOT / one.file).read_text("utf-8").count(one.old) == 1
    assert one.old != one.new
    for test in one.tests:
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
