"""Python's search for garbage in cycles, spared from walking over modules again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import within the block: there is no search meanwhile, and later ones pass over all that is there after it.

    torch and transformers make some 500,000 objects that stay, and searching while they come takes a sixth of the time.
    To be used where nothing of a trial is there: what is in cycles by then, and all that these hold, may stay for good.
    """
    searching, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
        if len(sys.modules) > before:
            gc.collect()
            gc.freeze()
