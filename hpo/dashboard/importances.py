"""How much each parameter mattered, for the dashboard: computed once, and beside it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from hpo.dashboard import rows
from hpo.dashboard.rows import Written
from objectives.measures import Direction

MOST = 2000  # trials that are compared: of more, evenly chosen ones
Shares = list[dict[str, Any]]


class Importances:
    """What was computed last for each study; where trials were added since, newer ones follow in a thread."""

    def __init__(self) -> None:
        self._lock, self._busy = threading.Lock(), threading.Lock()
        self._known: dict[int, tuple[int, Shares]] = {}

    def of(self, study_id: int, trials: Sequence[Written], direction: Direction) -> Shares:
        """A share for each parameter; those of a moment ago rather than to let the page wait."""
        complete = [trial for trial in trials if trial.state == "COMPLETE" and trial.value is not None]
        with self._lock:
            count, shares = self._known.get(study_id, (-1, []))
        if count == len(complete):
            return shares
        if count < 0:
            with self._busy:
                return self._computed(study_id, complete, direction)
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._later, args=(study_id, complete, direction), daemon=True).start()
        return shares

    def _later(self, study_id: int, complete: Sequence[Written], direction: Direction) -> None:
        try:
            self._computed(study_id, complete, direction)
        finally:
            self._busy.release()

    def _computed(self, study_id: int, complete: Sequence[Written], direction: Direction) -> Shares:
        shares = compute(complete, direction)
        with self._lock:
            self._known[study_id] = (len(complete), shares)
        return shares


def compute(complete: Sequence[Written], direction: Direction) -> Shares:
    """PED-ANOVA by Optuna (Watanabe, Bansal, Hutter: PED-ANOVA, IJCAI 2023), over the parameters of all trials."""
    chosen = complete[:: -(-len(complete) // MOST) or 1]
    if len(chosen) < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction=direction)
        study.add_trials([_trial(trial) for trial in chosen])
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    kinds = {name: written for trial in chosen for name, (_, written) in trial.params.items()}
    shares = found or dict.fromkeys(kinds, 1 / max(len(kinds), 1))
    return [
        {"name": name, "importance": share, "distribution": type(rows.distribution(kinds[name])).__name__}
        for name, share in shares.items()
    ]


def _trial(written: Written) -> optuna.trial.FrozenTrial:
    distributions = {name: rows.distribution(of) for name, (_, of) in written.params.items()}
    params = {name: distributions[name].to_external_repr(value) for name, (value, _) in written.params.items()}
    return optuna.trial.create_trial(params=params, distributions=distributions, value=written.value)
