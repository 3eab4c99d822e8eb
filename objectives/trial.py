"""One trial: settings in, evaluations out."""

from __future__ import annotations

from pathlib import Path

from objectives.evaluation import Heed, Rehearsal, Report, Result, Snapshot, unheeded
from objectives.settings import Settings, Simulated


def prepare(settings: Settings, *, allow_code: bool = False, cache: Path | None = None) -> str | None:
    """Check what a trial with these settings needs, its data and its model, and return the rows' fingerprint.

    None where it has no rows. `allow_code` and `cache` as in `run`. Raises ObjectiveError.
    """
    if isinstance(settings, Simulated):
        return None
    from objectives import transfer

    return transfer.prepare(settings, allow_code, cache)


def run(  # noqa: PLR0913
    settings: Settings,
    report: Report,
    *,
    device: str = "auto",
    threads: int | None = None,
    resume: Snapshot | None = None,
    heed: Heed = unheeded,
    allow_code: bool = False,
    cache: Path | None = None,
) -> Result:
    """Run a trial; `report` is called at each evaluation, `heed` between optimizer steps; both may raise to end it.

    `device` is auto, cpu, cuda or cuda:N; `threads` are of the CPU, None leaves them as they are, or takes those of
    `resume`: the snapshot of an earlier run with the same settings and rows, which this run continues. A snapshot of
    another kind of device, another precision or other versions is passed over, and the trial starts from its first
    step. With `allow_code` code that comes with the model is run; `cache` is the folder for models of URLs, None one in
    the user's cache. The result follows from the settings, the device's type and the threads. Raises ObjectiveError.
    """
    if isinstance(settings, Simulated):
        from objectives import simulated  # needs no torch

        return simulated.run(settings, report, resume, heed)
    from objectives import ready, transfer

    source = ready.located(settings.model, allow_code=allow_code, cache=cache)
    return transfer.run(settings, source, report, device=device, threads=threads, resume=resume, heed=heed)


def rehearse(
    settings: Settings,
    *,
    device: str = "auto",
    threads: int | None = None,
    allow_code: bool = False,
    cache: Path | None = None,
) -> Rehearsal:
    """What a trial with these settings would cost, from a few of its steps; a simulated one says it itself.

    Arguments are those of `run`. Raises ObjectiveError, OutOfMemoryError where the memory does not suffice.
    """
    if isinstance(settings, Simulated):
        curve = settings.simulated
        return Rehearsal(curve.evaluations, curve.evaluations, {"rows": 0.0, "load": 0.0, "train": curve.seconds})
    from objectives import ready, rehearsal

    source = ready.located(settings.model, allow_code=allow_code, cache=cache)
    return rehearsal.rehearse(settings, source, device=device, threads=threads)
