"""What --json prints of commands that train, or look into models, is what its schema says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pets
import pytest
import schemas

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


def test_answers_of_a_study_that_trains(hpo: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    file, model = str(pets.save(tmp_path)), str(tmp_path / "model")
    hpo("launch", "-s", file, "-w", "1", "--set", "trials=2")
    (tmp_path / "more.csv").write_text("text,n\ngood film,1\n")
    for words in (
        f"promote -s pets --top 1 --seeds 2 -w 1 --out {model}",
        "compare pets --baseline majority --baseline tfidf",
        "compare pets --on pets",
        f"predict --model {model} {tmp_path / 'more.csv'}",
        "errors -s pets --top 2",
        "errors -s pets --split test --slice label",
        "show -s pets@promote 0",
        "cost -s pets",
        f"check {file} --dry-run",
    ):
        schemas.check(words.split()[0], json.loads(hpo(*words.split(), "--json").stdout))
