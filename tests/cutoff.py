"""A trial that is cut off on its way, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lessons import comparable

from objectives import settings, trial
from objectives.checkpoint import Checkpoints
from objectives.evaluation import Evaluation, Snapshot
from objectives.host import Host


class CutError(Exception):
    """How whoever runs a trial ends it."""


def recorded(seen: Sequence[Evaluation]) -> list[str]:
    """All that is recorded but times, to the last bit; NaN is like NaN."""
    return [repr(comparable(each)) for each in seen]


def cut_after(chosen: settings.Settings, step: int, host: Host, folder: Path) -> tuple[list[Evaluation], Snapshot]:
    """What was seen of a trial that was cut off while it trained or was examined after a step, and its checkpoint."""
    seen: list[Evaluation] = []
    kept, calls = Checkpoints(str(folder)), 0

    def report(evaluation: Evaluation) -> None:
        assert evaluation.snapshot is not None
        seen.append(evaluation)
        kept.save(evaluation.step, evaluation.snapshot())

    def heed() -> None:
        nonlocal calls
        calls += len(seen) >= step
        if calls > 2:
            raise CutError

    with pytest.raises(CutError):
        trial.run(chosen, report, heed=heed, host=host)
    found = kept.newest()
    assert found is not None
    assert found[0] == len(seen) == step
    return seen, found[1]


def tensors(evaluation: Evaluation) -> dict[str, Any]:
    assert evaluation.snapshot is not None
    return dict(evaluation.snapshot().tensors)
