"""A large write into the store, at a pace that leaves the store to those who read from it."""

import time
from collections.abc import Callable, Iterable

from models.store.protocol import SyncStore
from models.store.redis_commands import BATCH_BYTES, pair_batches

SHORT_BYTES = 1 << 18
"""what one write carries while others read: they wait until the store has it on disk"""
SHARED_READS_PER_S = 100.0
"""keys that others read in a second from which on half of the store's time is theirs; below, less in proportion"""
LONGEST_PAUSE_S = 2.0
LOOK_S = 0.5
"""how often the store is asked how much is read"""


def write_paced(
    store: SyncStore,
    pairs: Iterable[tuple[str, bytes]],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Writes many values without expiry; not atomic as a whole.

    As fast as the store takes them where nobody reads from it; else in short writes, each followed by a pause as long
    as it took. So it backs off by itself where the store, its disk or its host is busy.
    """
    pace = Pace(store, clock)
    for batch in pair_batches(pairs, lambda: pace.most_bytes):
        began = clock()
        store.set_many(batch)
        pause_s = pace.pause_s(clock() - began)
        if pause_s > 0:  # below 0 where the store was started anew and counts from nothing
            sleep(pause_s)


class Pace:
    """How much may be written at once, and how long to pause after it, by how much others read."""

    def __init__(self, store: SyncStore, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._share = 1.0
        """pause over write; until they were counted for a while, others are taken to read"""
        self._looked_s, self._keys_read = clock(), store.info().keys_read

    @property
    def most_bytes(self) -> int:
        """What the next write carries, about."""
        return SHORT_BYTES if self._share > 0.5 else BATCH_BYTES

    def pause_s(self, took_s: float) -> float:
        """How long to pause after a write that took so long."""
        self._look()
        return min(self._share * took_s, LONGEST_PAUSE_S)

    def _look(self) -> None:
        """Counts, now and then, what was read since: whoever writes here reads next to nothing meanwhile."""
        passed_s = self._clock() - self._looked_s
        if passed_s >= LOOK_S:
            keys_read = self._store.info().keys_read
            self._share = min((keys_read - self._keys_read) / passed_s / SHARED_READS_PER_S, 1.0)
            self._looked_s, self._keys_read = self._looked_s + passed_s, keys_read
