"""One trial: settings in, evaluations out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives import own
from objectives.errors import CodeError, ModelError
from objectives.evaluation import Heed, Rating, Rehearsal, Report, Result, Snapshot, unheeded
from objectives.garbage import importing
from objectives.host import HERE, Host
from objectives.settings import Own, Settings, Simulated, Transfer

if TYPE_CHECKING:
    from objectives.prediction import Prediction


def prepare(settings: Settings, host: Host = HERE, heed: Heed = unheeded) -> str | None:
    """Check what a trial with these settings needs, its data and its model, and return the rows' fingerprint.

    None where it has no rows. Raises ObjectiveError, and what `heed` raises, called while a model is fetched.
    """
    if isinstance(settings, Simulated):
        return None
    if isinstance(settings, Own):
        own.find(settings, host)
        return None
    with importing():
        from objectives import transfer

    return transfer.prepare(settings, host, heed)


def run(
    settings: Settings,
    report: Report,
    *,
    heed: Heed = unheeded,
    resume: Snapshot | None = None,
    earlier: Mapping[str, Any] | None = None,
    host: Host = HERE,
) -> Result:
    """Run a trial; `report` is called at each evaluation, `heed` often in between; both may raise to end it.

    `resume` is the snapshot of an earlier run with the same settings and rows, which this run continues; without one,
    `earlier` may be that run's facts. Its threads, unless `host` has some, its precision, where the setting is `auto`,
    and the rows that it computed at once are taken over. A snapshot of another kind of device, another precision or
    other versions, or of more rows at once than fit here, is passed over, and the trial starts from its first step.

    The result follows from the settings and from what `evaluation.RUNTIME` names. Where memory runs out, the training
    starts over with half the rows at once; evaluations that were reported are not reported again. Raises
    InfeasibleError where one row alone does not fit, and other ObjectiveErrors.
    """
    if isinstance(settings, Simulated):
        from objectives import simulated  # needs no torch

        return simulated.run(settings, report, resume, heed)
    if isinstance(settings, Own):
        return own.run(settings, report, heed, host)
    with importing():
        from objectives import transfer

    return transfer.run(settings, report, heed=heed, resume=resume, earlier=earlier, host=host)


def predict(
    folder: Path,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    host: Host = HERE,
    *,
    source: str = "rows",
) -> list[Prediction]:
    """What the model in a folder says of each text, or each pair, and how probable that is; raises ObjectiveError.

    Images are given by their paths, which count from `source`: a folder, an archive, or a file beside it.
    """
    with importing():
        from objectives import prediction

    return prediction.predict(folder, texts, host.device, pairs=pairs, source=source, allow_code=host.allow_code)


def resemble(settings: Transfer, texts: Sequence[str], names: Mapping[str, str], host: Host = HERE) -> list[Prediction]:
    """The class of each text without training: of the texts of `names`, by class, the nearest to the pretrained model.

    Raises ObjectiveError.
    """
    with importing():
        from objectives import zeroshot

    return zeroshot.predict(settings, texts, names, host)


def rehearse(settings: Settings, host: Host = HERE) -> Rehearsal:
    """What a trial with these settings would cost, from a few of its steps; a simulated one says it itself.

    Raises ObjectiveError, OutOfMemoryError where the memory does not suffice.
    """
    if isinstance(settings, Simulated):
        curve = settings.simulated
        return Rehearsal(curve.evaluations, curve.evaluations, {"rows": 0.0, "load": 0.0, "train": curve.seconds})
    if isinstance(settings, Own):
        raise CodeError("python: what a function of yours costs is not known before; leave --dry-run out")
    with importing():
        from objectives import rehearsal

    return rehearsal.rehearse(settings, host)


def rate(settings: Settings, host: Host = HERE, rows: int = 2000) -> Rating:
    """What the settings' model is worth to their task before it is trained, from so many rows at most of each split.

    Raises ObjectiveError, also where nothing pretrained is in it.
    """
    if not isinstance(settings, Transfer):
        raise ModelError("model.name: an objective of another kind has no pretrained model")
    with importing():
        from objectives import ranking

    return ranking.rate(settings, host, rows)
