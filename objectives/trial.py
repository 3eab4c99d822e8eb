"""One trial: settings in, evaluations out."""

from __future__ import annotations

from objectives.evaluation import Rehearsal, Report, Result, Snapshot
from objectives.settings import Settings, Simulated


def prepare(settings: Settings) -> str | None:
    """Check what a trial with these settings needs, its data and its model, and return the rows' fingerprint.

    None where it has no rows. Raises ObjectiveError.
    """
    if isinstance(settings, Simulated):
        return None
    from objectives import transfer

    return transfer.prepare(settings)


def run(
    settings: Settings,
    report: Report,
    *,
    device: str = "auto",
    threads: int | None = None,
    resume: Snapshot | None = None,
) -> Result:
    """Run a trial; `report` is called at each evaluation and may raise, which ends the trial.

    `device` is auto, cpu, cuda or cuda:N; `threads` are of the CPU, None leaves them as they are, or takes those of
    `resume`: the snapshot of an earlier run with the same settings and rows, which this run continues. A snapshot of
    another kind of device, another precision or other versions is passed over, and the trial starts from its first
    step. The result follows from the settings, the device's type and the threads. Raises ObjectiveError.
    """
    if isinstance(settings, Simulated):
        from objectives import simulated  # needs no torch

        return simulated.run(settings, report, resume)
    from objectives import transfer

    return transfer.run(settings, report, device=device, threads=threads, resume=resume)


def rehearse(settings: Settings, *, device: str = "auto", threads: int | None = None) -> Rehearsal:
    """What a trial with these settings would cost, from a few of its steps; a simulated one says it itself.

    Arguments are those of `run`. Raises ObjectiveError, OutOfMemoryError where the memory does not suffice.
    """
    if isinstance(settings, Simulated):
        curve = settings.simulated
        return Rehearsal(curve.evaluations, curve.evaluations, {"rows": 0.0, "load": 0.0, "train": curve.seconds})
    from objectives import rehearsal

    return rehearsal.rehearse(settings, device=device, threads=threads)
