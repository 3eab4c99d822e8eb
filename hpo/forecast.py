"""What a study will take: from what some of its trials cost to the time of all and the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hpo import methods
from hpo.dryrun import DryRun
from hpo.space import Value
from hpo.spec import StudySpec
from hpo.tables import duration

_BUILT_FOR = ("model.name", "training.precision", "data.max_length")
"""Of the settings that are tried, those of which each value has states of its own."""

BUSY = 0.6
"""Of the cores' time; a dry run that had less tells of others rather than of the study."""


@dataclass(frozen=True)
class Forecast:
    """Seconds of a trial (at the objective's own values, at least, at most, on average) and of the study.

    `build_seconds` is what the cache of frozen layers takes, once; None where no trial uses it.
    `study_seconds` is without pruning and so the most; `pruned_seconds` with the share `kept` of the evaluations that
    the pruner leaves, None where that cannot be told. `memory_bytes` is a worker's, of which `workers_per_device` share
    `free_memory_bytes`. Of gradual unfreezing `unfrozen` are the blocks that learn in the last epoch, and that may.
    """

    workers: int
    trials: int
    default: float
    low: float
    high: float
    expected: float
    start_seconds: float
    build_seconds: float | None
    study_seconds: float
    kept: float | None
    pruned_seconds: float | None
    device: str
    workers_per_device: int
    memory_bytes: int | None
    free_memory_bytes: int | None
    cpu_share: float | None
    unfrozen: Sequence[int] | None = None

    @property
    def fits(self) -> bool:
        """Whether the workers' memory is there; true where nothing is known."""
        if self.memory_bytes is None or self.free_memory_bytes is None:
            return True
        return self.workers_per_device * self.memory_bytes <= self.free_memory_bytes


def forecast(spec: StudySpec, run: DryRun, workers: int, devices: int) -> Forecast:
    """The sums over a dry run. A trial's average is that of the corners, the defaults left out where there are others:
    trials that are drawn evenly between them take it. Of a study that lists its points it is theirs."""
    found = [tried.found for tried in run.tried]
    seconds = [each.trial_seconds for each in found]
    expected = fmean(seconds[1:] or seconds, [tried.trials for tried in run.tried[1:] or run.tried])
    trials, own = spec.trials + len(spec.enqueue), seconds[1:] if spec.points else seconds
    at_once = min(workers, trials)
    kept = kept_share(spec.pruner, spec.epochs, spec.evaluations_per_epoch)
    whole = trials * expected / at_once
    build = build_seconds(run)
    once = run.start_seconds + (build or 0)
    memory = [each.peak_memory_bytes for each in found if each.peak_memory_bytes is not None]
    return Forecast(
        workers=workers,
        trials=trials,
        default=seconds[0],
        low=min(own),
        high=max(own),
        expected=expected,
        start_seconds=run.start_seconds,
        build_seconds=build,
        study_seconds=once + whole,
        kept=kept,
        pruned_seconds=None if kept is None else once + kept * whole,
        device=found[0].device,
        workers_per_device=-(-workers // max(1, devices)),
        memory_bytes=max(memory, default=None),
        free_memory_bytes=found[0].free_memory_bytes,
        unfrozen=next((each.unfrozen for each in found if each.unfrozen is not None), None),
        cpu_share=min((each.cpu_share for each in found if each.cpu_share is not None), default=None),
    )


def build_seconds(run: DryRun) -> float | None:
    """Of the cache of frozen layers: once for each model, precision and length among the trials that were tried."""
    found: dict[tuple[Value | None, ...], float] = {}
    for tried in run.tried[1:] or run.tried:
        if tried.found.build_seconds is not None:
            key = tuple(tried.params.get(address) for address in _BUILT_FOR)
            found[key] = max(found.get(key, 0.0), tried.found.build_seconds)
    return sum(found.values()) if found else None


def kept_share(pruner: methods.Method, epochs: int, evaluations_per_epoch: int) -> float | None:
    """The share of all evaluations that successive halving leaves if of the trials that reach a rung the best one in
    `reduction_factor` goes on; None for pruners whose rule does not say how many they stop.

    Hyperband's trials are spread evenly over its brackets. While few trials have reached a rung more of them go on.
    """
    last = epochs * evaluations_per_epoch
    if isinstance(pruner, methods.Asha):
        first = round(pruner.min_resource * evaluations_per_epoch)
        return _halved(first, pruner.reduction_factor, pruner.min_early_stopping_rate, last)
    if isinstance(pruner, methods.Hyperband):
        first = round(pruner.min_resource * evaluations_per_epoch)
        most = round((pruner.max_resource or epochs) * evaluations_per_epoch)
        brackets = _brackets(first, most, pruner.reduction_factor)
        return fmean(_halved(first, pruner.reduction_factor, rate, last) for rate in range(brackets))
    return None


def _halved(first: int, factor: int, rate: int, last: int) -> float:
    rungs = list(_rungs(first * factor**rate, factor, last))
    steps = [after - before for before, after in zip([0, *rungs], [*rungs, last], strict=True)]
    return float(sum(some / factor**rung for rung, some in enumerate(steps)) / last)


def _rungs(first: int, factor: int, last: int) -> Iterator[int]:
    rung = first
    while rung < last:
        yield rung
        rung *= factor


def _brackets(first: int, most: int, factor: int) -> int:
    """How many Hyperband has: one more than the times that the least resource can be multiplied."""
    return 1 + len(list(_rungs(first * factor, factor, most + 1)))


def advice(found: Forecast) -> Sequence[str]:
    """What makes the estimate doubtful, and what does not fit."""
    return [*_busy(found), *_short(found), *_never_thawed(found)]


def _busy(found: Forecast) -> Iterator[str]:
    if found.cpu_share is not None and found.cpu_share < BUSY:
        seen = f"the dry run had {found.cpu_share:.0%} of the time of the cores it used"
        yield f"{seen}: others compute here, too; alone the study takes less"


def _short(found: Forecast) -> Iterator[str]:
    if found.fits or found.memory_bytes is None or found.free_memory_bytes is None:
        return
    needed = found.workers_per_device * found.memory_bytes
    most = found.free_memory_bytes // found.memory_bytes
    way = f"at most {most} fit" if most else "a smaller batch_size or max_length, or more frozen layers, takes less"
    many = f"{found.workers_per_device} worker{'s' * (found.workers_per_device != 1)}"
    free = size(found.free_memory_bytes)
    yield f"{many} on {found.device} take {size(needed)} of memory and {free} are free: {way}"


def _never_thawed(found: Forecast) -> Iterator[str]:
    if found.unfrozen is not None and found.unfrozen[0] < found.unfrozen[1]:
        learn, may = found.unfrozen
        yield f"training.unfreeze_every: {may - learn} of {may} blocks never learn: raise training.epochs, or lower it"


def told(found: Forecast, pruner: str) -> Sequence[str]:
    """The estimate in a few lines."""
    trial = f"a trial: {found.expected:.0f} s on average, {found.low:.0f} to {found.high:.0f} s"
    many = f"{found.trials} trials on {found.workers} worker{'s' * (found.workers != 1)}"
    most = f"the study: {many} take {duration(found.study_seconds)}"
    if found.pruned_seconds is not None and found.kept is not None and found.kept < 1:
        most += f" at most, about {duration(found.pruned_seconds)} if {pruner} leaves {found.kept:.0%} of the steps"
    elif pruner != "none":
        most += f" at most; what {pruner} saves is not known before"
    lines = [trial, most]
    if found.build_seconds is not None:
        lines.append(f"frozen layers: computed once for all trials, in {duration(found.build_seconds)} of that")
    if found.unfrozen is not None:
        learn, may = found.unfrozen
        lines.append(f"gradual unfreezing: {learn} of {may} blocks learn in the last epoch; epochs before it take less")
    if found.memory_bytes is not None:
        free = "" if found.free_memory_bytes is None else f"; {size(found.free_memory_bytes)} are free"
        lines.append(f"memory: {size(found.memory_bytes)} a worker on {found.device}{free}")
    return lines


def size(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 2**30:.1f} GiB"


def plain(found: Forecast, run: DryRun) -> dict[str, Any]:
    """All of it, ready for JSON."""
    tried = [
        {
            "params": dict(each.params),
            "steps": each.found.steps,
            "evaluations": each.found.evaluations,
            "trial_seconds": each.found.trial_seconds,
            "seconds": dict(each.found.seconds),
            "build_seconds": each.found.build_seconds,
            "peak_memory_bytes": each.found.peak_memory_bytes,
        }
        for each in run.tried
    ]
    trial = {"default": found.default, "low": found.low, "high": found.high, "expected": found.expected}
    return {
        "trial_seconds": trial,
        "trials": found.trials,
        "workers": found.workers,
        "start_seconds": found.start_seconds,
        "build_seconds": found.build_seconds,
        "study_seconds": found.study_seconds,
        "pruned_study_seconds": found.pruned_seconds,
        "kept_share": found.kept,
        "device": found.device,
        "cpu_share": found.cpu_share,
        "memory_bytes": found.memory_bytes,
        "free_memory_bytes": found.free_memory_bytes,
        "workers_per_device": found.workers_per_device,
        "unfrozen": None if found.unfrozen is None else dict(zip(("learn", "of"), found.unfrozen, strict=True)),
        "advice": list(advice(found)),
        "tried": tried,
    }
