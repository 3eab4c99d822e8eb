"""Python's search for garbage in cycles, spared from walking over modules again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_settled: set[str] = set()


@contextmanager
def importing() -> Iterator[None]:
    """Import within the block: there is no search meanwhile, and one after it whose finds later ones pass over.

    torch and transformers make some 500,000 objects that stay, and searching while they come takes a sixth of the time.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
        if _has_grown():
            gc.collect()
            settle()


def settle() -> None:
    """Have later searches pass over all that is there, where modules were imported since the last time.

    To be called after a search, while nothing of a trial is there: what is in cycles by then is never given back.
    """
    if _has_grown():
        _settled.update(sys.modules)
        gc.freeze()


def _has_grown() -> bool:
    return not _settled.issuperset(sys.modules)
