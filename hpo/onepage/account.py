"""All that a page says of a study, read once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo import inspection, spending, verdict
from hpo.errors import StudyError
from hpo.inspection import Inspection
from hpo.plots import story as stories
from hpo.plots.story import Story
from hpo.report import Report, Row
from hpo.spending import Spending
from hpo.verdict import Verdict

WHAT = ("model", "model_identity", "device", "device_name", "precision", "threads")
"""Facts of trials that tell one way of computing from another, beside the versions."""


@dataclass(frozen=True)
class Account:
    """A study's row, its story, what it spent; its promotion's verdict and a look into its model, or why there is
    none; the rows' fingerprint; and the ways in which trials computed, each with the number of trials."""

    row: Row
    story: Story
    spent: Spending
    verdict: Verdict | str
    inspection: Inspection | str
    fingerprint: str | None
    made: Sequence[tuple[Mapping[str, str], int]]

    @property
    def failures(self) -> list[tuple[str, str, list[int]]]:
        """Why trials ended without a result: state, cause, and the numbers of the trials, the most frequent first."""
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for trial in self.story.trials:
            if trial["state"] in ("FAIL", "PRUNED") and (trial["error"] or trial["state"] == "FAIL"):
                found[trial["state"], trial["error"] or "no reason is on record"].append(trial["number"])
        return sorted(((*cause, numbers) for cause, numbers in found.items()), key=lambda one: -len(one[2]))


def gather(rows: Report, study: str, root: Path | None = None) -> Account:
    """Read it; `root` is where relative paths of rows count from. Raises StudyError where there is no such study."""
    row, story = rows.study(study), stories.read(rows, study)
    if story.spec.promotes:
        raise StudyError(f"{study}: belongs to {story.spec.promotes.study}, whose report has it: name that one")
    found = _verdict(rows, study)
    split = "valid" if isinstance(found, str) else "test"
    return Account(
        row=row,
        story=story,
        spent=spending.spending(story.spent, row["remaining"] + row["waiting"]),
        verdict=found,
        inspection=_inspection(rows, inspection.Wish(study, split=split), root),
        fingerprint=rows.fingerprint(study),
        made=_made(story.trials),
    )


def _verdict(rows: Report, study: str) -> Verdict | str:
    try:
        if companion := verdict.companion(rows, study):
            return verdict.read(rows, companion)
        return "its configurations were not retrained with other seeds, and the test rows were not read"
    except StudyError as error:
        return str(error)


def _inspection(rows: Report, wish: inspection.Wish, root: Path | None) -> Inspection | str:
    try:
        return inspection.inspect(rows, wish, root)
    except StudyError as error:
        return str(error)


def _made(trials: Sequence[Row]) -> list[tuple[Mapping[str, str], int]]:
    found: dict[tuple[tuple[str, str], ...], int] = defaultdict(int)
    for trial in trials:
        if trial["facts"]:
            found[tuple(_way(trial["facts"]).items())] += 1
    return [(dict(way), count) for way, count in sorted(found.items(), key=lambda one: -one[1])]


def _way(facts: Mapping[str, Any]) -> dict[str, str]:
    versions = {name: str(version) for name, version in facts.get("versions", {}).items()}
    return {name.replace("_", " "): str(facts[name]) for name in WHAT if name in facts} | versions
