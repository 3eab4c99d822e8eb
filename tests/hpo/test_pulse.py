"""Beats beside the work, whatever the database says."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from support import wait_until

from hpo.attempts import Claim, Standing
from hpo.errors import DatabaseError
from hpo.pulse import Pulse

CLAIM = Claim(1, 1, 0, 1)


class Losing:
    """A store that is away for the first beats."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.beats = list(errors), 0

    def beat(self, _: Claim) -> Standing:
        if self.errors:
            raise self.errors.pop(0)
        self.beats += 1
        return Standing()


def pulse(store: Any, seconds: float) -> Pulse:
    return Pulse(store, seconds, threading.Event(), None)


def test_a_lost_beat_is_made_up_for_at_once_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The next one in ten seconds might be too late: others may take the trial where the server is back."""
    store = Losing(DatabaseError("away"), DatabaseError("away"), ValueError("odd"))
    caplog.set_level(logging.WARNING)
    beating = pulse(store, 1.0)
    beating.tick = 0.01
    with beating, beating.on(CLAIM):
        wait_until(lambda: store.beats == 1)
    assert caplog.messages == ["no beat: away", "no beat: odd"]
