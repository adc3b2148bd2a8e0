"""The store's clock in a process, so that all hosts of a network measure waiting times by one clock."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS

READ_AGAIN_S = 10.0
"""how long the store's clock is carried on by this process's monotonic clock before it is read again"""


def store_time(store: SyncStore) -> datetime:
    """The time by the store's clock. Raises StoreError if the store does not answer."""
    return datetime.fromtimestamp(store.clock_us() / MICROSECONDS, UTC)


class StoreClock:
    """Read now and then, and carried on meanwhile: no change of this host's clock moves it."""

    def __init__(self, store: SyncStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic = store, monotonic
        self._ahead_s = 0.0
        """the store's clock less the monotonic one"""
        self._read_s: float | None = None

    def now_s(self) -> float:
        """Seconds since 1970. Raises StoreError if the store does not answer when its clock is read."""
        now = self._monotonic()
        if self._read_s is None or now - self._read_s >= READ_AGAIN_S:
            read_us = self._store.clock_us()
            done = self._monotonic()
            self._ahead_s, self._read_s = read_us / MICROSECONDS - (now + done) / 2, done
        return self._monotonic() + self._ahead_s

    def skew_s(self) -> float:
        """How far this host's clock is ahead of the store's, seconds. Raises StoreError as `now_s`."""
        return time.time() - self.now_s()
