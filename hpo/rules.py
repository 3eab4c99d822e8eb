"""Rules of a study file that end a study before its budget is spent."""

from __future__ import annotations

from pydantic import Field

from hpo.complaints import Complaint, ComplaintError, shown
from objectives.measures import direction, is_share
from objectives.settings import Setting


class Stop(Setting):
    """The first rule that holds ends the study: no trial of the budget is begun any more."""

    hours: float | None = Field(None, gt=0, description="of work, of all workers together")
    no_improvement: int | None = Field(None, ge=1, description="trials that ended since the best one")
    target: float | None = Field(None, description="a value of the metric that is good enough")
    expected_gain: float | None = Field(None, gt=0, description="so little is left to be gained")

    @property
    def counted(self) -> bool:
        """Whether a rule is set that claims judge."""
        return any(rule is not None for rule in (self.hours, self.no_improvement, self.target))


def check_target(stop: Stop, metric: str) -> None:
    """Refuse a target that the metric cannot reach, or always has; raises ComplaintError."""
    better = direction(metric)
    if stop.target is None or better is None:  # an unknown metric is a complaint of its own
        return
    low = better == "minimize"
    if (low and stop.target < 0) or (is_share(metric) and not 0 < stop.target <= 1):
        right = f"{metric} is at least 0" if low else f"{metric} is a share: above 0, at most 1"
        raise ComplaintError(Complaint("stop.target", f"{shown(stop.target)} is no value to reach; {right}"))
