"""A large write into the store, throttled in favour of concurrent readers."""

import time
from collections.abc import Callable, Iterable

from models.store.protocol import SyncStore
from models.store.redis_commands import BATCH_BYTES, pair_batches

SHORT_BYTES = 1 << 18
"""the size of one write while others read: they wait until the store has synced it to disk"""
SHARED_READS_PER_S = 100.0
"""keys read per second from which on readers have half of the store's time; below, proportionally less"""
LONGEST_PAUSE_S = 2.0
MEASURE_S = 0.5
"""how often the number of reads is measured"""


def throttled_write(
    store: SyncStore,
    pairs: Iterable[tuple[str, bytes]],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Writes many values without expiry; not atomic as a whole.

    Without readers it writes as fast as the store accepts; else in short writes, each followed by a pause as long as it
    took, so that it backs off if the store, its disk or its host is busy.
    """
    throttle = Throttle(store, clock)
    for batch in pair_batches(pairs, lambda: throttle.most_bytes):
        began = clock()
        store.set_many(batch)
        pause_s = throttle.pause_s(clock() - began)
        if pause_s > 0:  # below 0 if the store was started again and counts from nothing
            sleep(pause_s)


class Throttle:
    """The size of the next write and the pause after it, given how much others read."""

    def __init__(self, store: SyncStore, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._share = 1.0
        """the ratio of pause to write; at first, before a measurement, readers are assumed"""
        self._measured_s, self._keys_read = clock(), store.info().keys_read

    @property
    def most_bytes(self) -> int:
        """The size of the next write, about."""
        return SHORT_BYTES if self._share > 0.5 else BATCH_BYTES

    def pause_s(self, took_s: float) -> float:
        """The pause after a write of this duration."""
        self._measure()
        return min(self._share * took_s, LONGEST_PAUSE_S)

    def _measure(self) -> None:
        """Measures the reads since the last time; the writer itself reads almost nothing."""
        passed_s = self._clock() - self._measured_s
        if passed_s >= MEASURE_S:
            keys_read = self._store.info().keys_read
            self._share = min((keys_read - self._keys_read) / passed_s / SHARED_READS_PER_S, 1.0)
            self._measured_s, self._keys_read = self._measured_s + passed_s, keys_read
