"""A heed for functions that remember their answers: no part of the question, let go of after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from objectives.evaluation import Heed, unheeded


class Lent:
    """Calls a heed; equal to every other one, so that `lru_cache` answers whoever asks."""

    def __init__(self, heed: Heed) -> None:
        self.heed = heed

    def __call__(self) -> None:
        self.heed()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lent)

    def __hash__(self) -> int:
        return hash(Lent)


@contextmanager
def lent(heed: Heed) -> Iterator[Lent]:
    """The heed for the length of the block; what is remembered longer than that holds nothing of its trial."""
    one = Lent(heed)
    try:
        yield one
    finally:
        one.heed = unheeded
