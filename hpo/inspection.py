"""A look into a study's model: what it gets wrong, on which rows, and how sure it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpo import asked, calibration, mistakes, scores, verdict
from hpo.asked import Asked, Where
from hpo.calibration import Calibration
from hpo.errors import StudyError
from hpo.mistakes import Confusion, Mistake, Slice
from hpo.predictions import KEPT
from hpo.report import Report, Row
from hpo.scores import Said
from hpo.spec import StudySpec
from objectives import kinds
from objectives.settings import Own, Transfer

_METRICS = {"accuracy": "accuracy", "f1_macro": "f1_macro", "loss": "val_loss"}


@dataclass(frozen=True)
class Wish:
    """What is to be looked at; None is the best trial, the split that its study keeps, the study's own column."""

    study: str
    trial: int | None = None
    split: str | None = None
    slice: str | None = None
    top: int = 10


@dataclass(frozen=True)
class Inspection:
    """All of it, of one trial of `study`, which is a companion where the rows are test rows."""

    study: str
    trial: int
    split: str
    step: int
    rows: int
    wrong: int
    metrics: dict[str, float]
    mistakes: Sequence[Mistake]
    confused: Sequence[Confusion]
    calibration: Calibration
    asked: Asked
    column: str | None = None
    slices: Sequence[Slice] = field(default_factory=tuple)

    def read(self, row: int) -> tuple[str | None, str | None]:
        """Where a row stands, and its text; None where the rows are missing."""
        return (None, None) if self.asked.missing else (self.asked.places[row], self.asked.texts[row])

    def plain(self) -> dict[str, Any]:
        """Ready for JSON."""
        left_out = ("asked", "mistakes", "slices")
        kept = {name: value for name, value in asdict(self).items() if name not in left_out}
        read = [(one, *self.read(one.row)) for one in self.mistakes]
        return {
            **kept,
            "mistakes": [{**asdict(one), "where": where, "text": text} for one, where, text in read],
            "slices": [{**asdict(one), "note": one.note} for one in self.slices],
            "rows_missing": self.asked.missing,
        }


def inspect(rows: Report, wish: Wish, root: Path | None = None) -> Inspection:
    """Look at what a trial said of its rows; `root` is where relative paths of these count from.

    Raises StudyError where the study, the trial or the column is not there, or nothing of it is kept.
    """
    study, split, spec = _study(rows, wish)
    kept = {row["number"]: row for row in rows.predictions(study, split)}
    number = _best(rows, spec, kept) if wish.trial is None else wish.trial
    trial = rows.trial(study, number) if number is not None else None
    if trial is None or number not in kept:
        raise StudyError(_nothing(study, split, number, list(kept)))
    column = wish.slice or _objective(spec).data.slice
    found = asked.ask(spec, trial["params"], Where(split, column, rows.fingerprint(study), root))
    return _inspection(study, split, kept[number], _checked(found, kept[number]), column, wish.top)


def _inspection(study: str, split: str, kept: Row, found: Asked, column: str | None, top: int) -> Inspection:
    said = Said.of(kept)
    right = said.truth == said.predicted
    return Inspection(
        study=study,
        trial=kept["number"],
        split=split,
        step=kept["step"],
        rows=len(right),
        wrong=int((~right).sum()),
        metrics={name: scores.score(metric, said) for name, metric in _METRICS.items()},
        mistakes=mistakes.confident(said, kept["probability"], top),
        confused=mistakes.confused(said, top),
        calibration=calibration.calibration(kept["probability"], list(right)),
        asked=found,
        column=column,
        slices=mistakes.slices(said, found.values) if found.values else (),
    )


def _study(rows: Report, wish: Wish) -> tuple[str, str, StudySpec]:
    """The study whose trials have these predictions, the split, and its spec."""
    own = StudySpec.from_dict(rows.study(wish.study)["spec"])
    _objective(own)
    split = wish.split or ("test" if own.promotes else "valid")
    if split == "valid" or own.promotes:
        return wish.study, split, own
    companion = verdict.companion(rows, wish.study)
    if companion is None:
        raise StudyError(f"{wish.study}: no model of it has seen the test rows; hpo promote -s {wish.study} tests it")
    return companion, split, StudySpec.from_dict(rows.study(companion)["spec"])


def _objective(spec: StudySpec) -> Transfer:
    """The settings of a study whose rows have a class each; raises StudyError."""
    if isinstance(spec.objective, Own):
        function = spec.objective.python.function
        raise StudyError(f"{spec.study}: hpo knows no rows of the function {function}; right is a study of a task")
    if not isinstance(spec.objective, Transfer):
        raise StudyError(f"{spec.study}: a simulated objective has no rows to be wrong about; right is one that trains")
    if not kinds.has_classes(spec.objective):
        raise StudyError(
            f"{spec.study}: {spec.objective.task.kind} keeps no predictions of rows; text-classification does"
        )
    return spec.objective


def _best(rows: Report, spec: StudySpec, kept: dict[int, Row]) -> int | None:
    """The trial to look at first: of a search the best, of a promotion the one whose model was written."""
    if spec.promotes and kept:
        return verdict.read(rows, spec.study).winner.trials[0].number
    best = rows.best(spec.study)
    return best["number"] if best else None


def _nothing(study: str, split: str, number: int | None, kept: Sequence[int]) -> str:
    if number is None:
        return f"{study}: no trial is complete yet, no predictions are kept; hpo status -s {study} shows how it stands"
    there = f"kept are those of {', '.join(map(str, kept))}" if kept else "none of this study's are kept"
    which = f"a search keeps those of its {KEPT} best trials" if split == "valid" else "a promotion keeps those of all"
    return f"{study}: what trial {number} said of the {split} rows is not kept: {which}; {there}"


def _checked(found: Asked, kept: Row) -> Asked:
    """The rows, unless they are more or fewer than the model was asked about."""
    if found.missing or len(found.texts) == len(kept["truth"]):
        return found
    return Asked(
        missing=f"the rows on this machine are {len(found.texts)}, the model was asked about {len(kept['truth'])}"
    )
