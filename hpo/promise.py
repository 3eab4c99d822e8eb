"""Whether a study still promises to gain enough: judged by its workers between trials, outside of any transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hpo import search
from hpo.running import Study
from hpo.spec import StudySpec

log = logging.getLogger("hpo.worker")
SHARE = 0.05
"""Of a worker's time this may take: where the estimate is slow, not every trial is followed by one."""


class Promise:
    """A worker's look at what its study may still gain, ending it where that is less than its rule wants."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._due = float("-inf")

    def __call__(self, trials: Study, spec: StudySpec) -> None:
        """Estimate, if the study has the rule and it is time; end the study where it holds."""
        least, began = spec.stop.expected_gain, self.clock()
        if least is None or began < self._due:
            return
        gain = _estimated(trials, spec)
        if gain is None:
            return
        self._due = self.clock() + (self.clock() - began) / SHARE
        log.info("at most %.3g of %s is left to be gained", gain, spec.metric)
        if gain < least:
            why = f"stop.expected_gain {least:g}: at most {gain:.3g} of {spec.metric} was left to be gained"
            trials.store.end(trials.study_id, spec.stop, why)


def _estimated(trials: Study, spec: StudySpec) -> float | None:
    """The estimate; None where it is too early, or where the values are such that none can be made."""
    try:
        return search.expected_gain(trials.optuna, spec)
    except (ValueError, ArithmeticError) as error:  # of a fit whose matrix is singular: LinAlgError is a ValueError
        log.warning("what is left to be gained cannot be estimated: %s", error)
        return None
