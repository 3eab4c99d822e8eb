"""Who has logged in, and who tried too often: kept in memory, gone with the process."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

LASTING = 12 * 3600.0  # seconds
MOST = 1000  # sessions, and addresses that are remembered
TRIES, ALL_TRIES, WITHIN = 5, 100, 60.0  # wrong passwords of one address and of all, in so many seconds


class Sessions:
    """Sessions by a digest of what the cookie holds: how long a look-up takes tells nothing of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret, self._clock = secrets.token_bytes(32), clock
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new session: what the cookie is to hold."""
        made = secrets.token_urlsafe(32)
        with self._lock:
            self._until[self._digest(made)] = self._clock() + LASTING
            while len(self._until) > MOST:
                self._until.popitem(last=False)
        return made

    def holds(self, cookie: str) -> bool:
        """Whether a session began with this cookie and goes on."""
        with self._lock:
            return self._until.get(self._digest(cookie), 0.0) > self._clock()

    def end(self, cookie: str) -> None:
        """Forget the session: its cookie opens nothing any more."""
        with self._lock:
            self._until.pop(self._digest(cookie), None)

    def _digest(self, cookie: str) -> bytes:
        return hmac.digest(self._secret, cookie.encode(), "sha256")


class Tries:
    """Wrong passwords of the last minute, by address; nobody waits, so that no thread is held up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._by: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()

    def allowed(self, address: str) -> bool:
        """Whether this address may try: counted as wrong until `right` says otherwise."""
        with self._lock:
            own = self._by.setdefault(address, deque())
            self._by.move_to_end(address)
            while len(self._by) > MOST:
                self._by.popitem(last=False)
            now = self._clock()
            for tries in (own, self._all):
                while tries and tries[0] <= now - WITHIN:
                    tries.popleft()
            if len(own) >= TRIES or len(self._all) >= ALL_TRIES:
                return False
            own.append(now)
            self._all.append(now)
            return True

    def right(self, address: str) -> None:
        """The last try was right: this address begins anew."""
        with self._lock:
            for _ in self._by.pop(address, ()):
                if self._all:
                    self._all.pop()
