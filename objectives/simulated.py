"""A simulated trial: a learning curve in closed form over settings that look like real ones, without torch.

The validation loss (nats, four classes, so that chance is ln 4) after epoch t, one evaluation an epoch, is

    loss(t) = end + (ln 4 - end) exp(-t / TAU) + noise
    end     = FLOOR + (ln 4 - FLOOR) (1 - exp(-bowl))
    bowl    = log10(learning_rate / best)^2 / 2 + 2 (dropout - 0.1)^2 + 0.02 (frozen_layers - 2)^2 + OPTIMIZERS' penalty
    best    = OPTIMIZERS' learning rate at batch size 16 x batch_size / 16

The best learning rate grows linearly with the batch size (Goyal et al. 2017, arXiv:1706.02677). One more than
DIVERGES times the best makes the loss climb to DIVERGED instead. The training loss ends lower, the more so the less
dropout there is; accuracy is exp(-loss), a quarter at chance. The noise is normal, drawn from the seed, the settings
that shape the curve and t: a longer trial begins as a shorter one does, and no two trials share their noise.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import signal
import time
from dataclasses import replace
from functools import partial
from statistics import NormalDist

from objectives.errors import OutOfMemoryError
from objectives.evaluation import Evaluation, Heed, Report, Result, Snapshot, unheeded
from objectives.settings import Curve, Simulated

CHANCE = math.log(4)
FLOOR = 0.2
TAU = 1.5
DIVERGES = 30.0
DIVERGED = 8.0
MOMENT = 0.05  # seconds of sleep, as long as an optimizer step
EXAMPLES = 1000
"""Rows of an epoch, for examples per second."""

OPTIMIZERS = {"adamw": (1e-3, 0.0), "adam": (8e-4, 0.02), "sgd": (3e-2, 0.05)}
"""The best learning rate at batch size 16, and what the optimizer adds to the bowl at best."""

SHAPE = {"learning_rate", "batch_size", "dropout", "frozen_layers", "optimizer"}
"""The settings that shape the curve."""


def run(settings: Simulated, report: Report, resume: Snapshot | None = None, heed: Heed = unheeded) -> Result:
    """Report `evaluations` evaluations, one an epoch, taking `seconds` in all; fail, exit or turn NaN where told.

    Raises OutOfMemoryError where the batch is too large for the `memory`.
    """
    curve = settings.simulated
    failing = _failing(curve)
    reporting = 0.0
    if curve.memory and curve.batch_size > curve.memory:
        raise OutOfMemoryError(f"simulated.batch_size: {curve.batch_size} rows do not fit into memory")
    for step in range(1 + (resume.values["step"] if resume else 0), curve.evaluations + 1):
        _pause(curve.seconds / curve.evaluations, heed)
        if step in (failing, curve.fail_at):
            raise RuntimeError(f"simulated failure at evaluation {step}")
        if step == curve.exit_at:
            os.kill(os.getpid(), signal.SIGKILL)
        before = time.perf_counter()
        snapshot = partial(Snapshot, {}, {"step": step})
        report(replace(_evaluation(curve, step), result=_result(curve, step, reporting), snapshot=snapshot))
        reporting += time.perf_counter() - before
    return _result(curve, curve.evaluations, reporting)


def _pause(seconds: float, heed: Heed) -> None:
    """Sleep, a moment at a time, heeding before each."""
    until = time.monotonic() + seconds
    heed()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, MOMENT))
        heed()


def loss(curve: Curve, epoch: int) -> float:
    """The validation loss after an epoch, without noise."""
    rate, penalty = OPTIMIZERS[curve.optimizer]
    distance = math.log10(curve.learning_rate / (rate * curve.batch_size / 16))
    bowl = distance**2 / 2 + 2 * (curve.dropout - 0.1) ** 2 + 0.02 * (curve.frozen_layers - 2) ** 2 + penalty
    end = FLOOR + (CHANCE - FLOOR) * (1 - math.exp(-bowl)) if distance < math.log10(DIVERGES) else DIVERGED
    return end + (CHANCE - end) * math.exp(-epoch / TAU)


def _evaluation(curve: Curve, step: int) -> Evaluation:
    noisy = max(loss(curve, step) + curve.noise * NormalDist().inv_cdf(_draw(curve, step)), 0.0)
    diverged = curve.nan_at and step >= curve.nan_at and curve.learning_rate > curve.nan_above
    val_loss = math.nan if diverged else noisy
    seconds = curve.seconds / curve.evaluations
    metrics = {
        "val_loss": val_loss,
        "train_loss": noisy * (1 - 0.4 * (1 - curve.dropout) * (1 - math.exp(-step / TAU))),
        "accuracy": math.exp(-val_loss),
        "learning_rate": curve.learning_rate,
        "seconds": seconds,
        "examples_per_second": EXAMPLES / seconds if seconds else 0.0,
    }
    return Evaluation(step, float(step), metrics)


def _failing(curve: Curve) -> int | None:
    """The evaluation at which a trial of the share that fails does; None for the others."""
    return 1 + int(_draw(curve, "place") * curve.evaluations) if _draw(curve, "fail") < curve.fail_share else None


def _draw(curve: Curve, what: object) -> float:
    """A number above 0 and below 1 that depends on the seed, the curve's shape and what it is for, nothing else."""
    key = repr((curve.seed or 0, sorted(curve.model_dump(include=SHAPE).items()), what))
    digest = hashlib.sha256(key.encode()).digest()
    return (int.from_bytes(digest[:6], "big") + 0.5) / 2**48


def _result(curve: Curve, steps: int, reporting: float) -> Result:
    seconds = curve.seconds * steps / curve.evaluations
    phases = {"load": 0.0, "data": 0.0, "train": seconds, "evaluate": 0.0, "report": reporting}
    versions = {"python": platform.python_version()}
    facts = {"model": "simulated", "device": "cpu", "threads": 1, "precision": "fp32", "versions": versions}
    return Result(steps, 100 + 1000 * (6 - curve.frozen_layers), phases, facts)
