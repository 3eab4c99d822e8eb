"""The thread of a worker that marks life beside its work, and hears what people want of its trial."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.attempts import Claim, Standing
from hpo.database import explain
from hpo.store import Store

log = logging.getLogger("hpo.worker")


class Pulse:
    """The one thread of a worker beside its work: it marks life and watches for the parent's death."""

    def __init__(self, store: Store, seconds: float, stop: threading.Event, parent: int | None) -> None:
        self.store, self.seconds, self.stop, self.parent = store, seconds, stop, parent
        self.tick = min(1.0, seconds)
        self.claim: Claim | None = None
        self._told: tuple[Claim | None, Standing] = (None, Standing())
        self._over, self._said = threading.Event(), ""
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def standing(self, claim: Claim) -> Standing:
        """What the last beat for this claim was told."""
        told, standing = self._told
        return standing if told is claim else Standing()

    @contextmanager
    def on(self, claim: Claim) -> Iterator[None]:
        """Beat for this claim within the block."""
        self.claim = claim
        try:
            yield
        finally:
            self.claim = None

    def _run(self) -> None:
        waited = 0.0
        while not self._over.wait(self.tick):
            if self.parent is not None and os.getppid() != self.parent:
                self.stop.set()
            waited += self.tick
            if waited >= self.seconds and self._beat():  # a beat that was lost is tried again with the next tick
                waited = 0.0

    def _beat(self) -> bool:
        claim = self.claim
        try:
            if claim is not None:
                self._told = (claim, self.store.beat(claim))
        except Exception as error:  # whatever it is, the thread goes on: a trial without beats is another's
            self._say(f"no beat: {explain(error)}")
            return False
        self._said = ""
        return True

    def _say(self, line: str) -> None:
        """Once, however often it is tried."""
        if line != self._said:
            log.warning(line)
        self._said = line
