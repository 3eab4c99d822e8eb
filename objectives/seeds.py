"""Seeds for everything random in a trial, each from the trial's one seed."""

from __future__ import annotations

import zlib

import numpy as np


def derive(seed: int, *path: str | int) -> int:
    """A 64-bit seed for one purpose, such as `derive(seed, "dropout", step)`; the same on every machine."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0])
