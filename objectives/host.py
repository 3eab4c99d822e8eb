"""What a trial may use of the machine that it runs on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from objectives.cache import Cache
from objectives.switches import Piece


@dataclass(frozen=True)
class Host:
    """Where a trial computes, and what it finds there.

    `device` is auto, cpu, cuda or cuda:N; `threads` are of the CPU, None leaves them as they are. `models` is the
    folder of models that were copied from a URL, None where there is none. `cache` keeps what frozen blocks compute, so
    that each row is computed once where that pays; the last digits of a result may differ from those without. With
    `allow_code` a model's own Python code is run. `measured` is the folder that keeps what was measured of the machine,
    so that all its trials go by the same answer; None keeps it in the process. `folder` is the trial's own, kept until
    it ends, whoever runs it; None where there is none. `fingerprint` is that of the rows that the study was made with;
    None takes those that are there. Trials do without the pieces of a lean step in `lean_off`, but for one that
    continues, which does without those that it began without.
    """

    device: str = "auto"
    threads: int | None = None
    models: Path | None = None
    cache: Cache | None = None
    allow_code: bool = False
    measured: Path | None = None
    folder: Path | None = None
    fingerprint: str | None = None
    lean_off: Collection[Piece] = ()


HERE = Host()
"""This process as it is."""
