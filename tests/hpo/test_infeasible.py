"""What a worker does with trials that need more memory than there is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bench import tiny
from hpo import worker
from hpo.attempts import Worker
from hpo.config import Config
from hpo.spec import StudySpec, settings_for
from hpo.store import Store
from objectives import trial
from objectives.batches import Batch, Example
from objectives.tasks import TASKS
from objectives.tasks.text_classification import TextClassification

WORDS = ("cold", "warm", "slow", "quick", "old", "new", "soft", "loud")


class Narrow(TextClassification):
    """A task on a machine whose memory holds no batch with a row of more than 5 tokens, and no more than 2 rows."""

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        if len(examples) > 2 or max(len(example.tokens) for example in examples) > 5:
            raise MemoryError
        return super().collate(examples, tokenizer)


@pytest.fixture
def spec(tmp_path: Path) -> StudySpec:
    """Two trials: rows of at most 5 tokens, then longer ones."""
    rows = [f"the {one} {two} day,{'yes' if one < two else 'no'}" for one in WORDS for two in WORDS]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    tokenizer = tiny.tokenizer(("the", "day", *WORDS))
    tiny.save(tmp_path / "tiny", tiny.bert(tokenizer, max_position_embeddings=128), tokenizer)
    return StudySpec.from_dict(
        {
            "study": "tight",
            "folder": str(tmp_path),
            "objective": {
                "task": "text-classification",
                "model": {"name": "./tiny", "frozen_layers": 3},
                "data": {"path": "rows.csv", "split": {"train": 8, "valid": 4, "test": 0}},
                "training": {"epochs": 1, "batch_size": 8},
            },
            "search": {"data.max_length": {"choices": [5, 6]}},
            "sampler": "grid",
            "pruner": "none",
        }
    )


def test_they_are_pruned_with_the_reason_and_the_study_goes_on(
    config: Config, store: Store, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "text-classification", Narrow)
    store.create(spec, fingerprint=trial.prepare(settings_for(spec, {}, None)))
    worker.run(config, "tight", Worker("one", "here", 1, config.grace), threading.Event())
    with store.engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(FOUND))]
    (_, complete, none, parts), (_, pruned, reason, _) = found
    assert (complete, none, parts) == ("COMPLETE", None, 2)
    assert pruned == "PRUNED"
    assert reason == (
        "memory: not even one row fits (MemoryError); "
        "lower data.max_length, choose a smaller model.name or raise model.frozen_layers"
    )


FOUND = """
SELECT t.number, t.state, t.error, (a.facts -> 'runtime' ->> 'micro_batch')::integer
FROM hpo.trials t JOIN hpo.attempts a USING (trial_id) ORDER BY t.number
"""
