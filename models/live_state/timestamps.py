"""Timestamps from the store: one counter for all processes, so that their clocks need not agree.

A timestamp is the time of the process that takes it, unless the counter is ahead: it is later than every timestamp that
was taken before, whoever took it, and later than the cut of every version. A night fences the log off at its cut: what
was on its way with an earlier timestamp is refused, and takes a later one. So a version includes all changes up to its
cut, and live state all changes after it.
"""

from models.live_state.retention import read_watermark_blocking
from models.store.decimals import decimal
from models.store.keys import SHARDS, Keys
from models.store.protocol import AsyncStore, SyncStore


async def take_timestamps(store: AsyncStore, keys: Keys, count: int, *, now: int, after: int = 0) -> int:
    """The first of `count` consecutive timestamps, microseconds, which nobody else gets. Raises StoreError.

    `now` is the clock of this process; `after` is one that the store may have lost, such as the cut of a version.
    """
    return await store.numbers_take(keys.clock, count, max(now, after + 1))


def take_timestamp_blocking(store: SyncStore, keys: Keys, *, now: int, after: int = 0) -> int:
    """The same as `take_timestamps` for one timestamp, for the worker and the night."""
    return store.numbers_take(keys.clock, 1, max(now, after + 1))


def draw_cut(store: SyncStore, keys: Keys, *, now: int, after: int = 0) -> int:
    """The cut of a night, microseconds: from its return on every event up to it is in the log, and none follows.

    It is later than `after`, the cut of any earlier night, even if the store has lost its timestamps.
    """
    cut = take_timestamp_blocking(store, keys, now=now, after=max(after, read_watermark_blocking(store, keys)))
    for shard in range(SHARDS):
        store.number_raise(keys.fence(shard), cut)
    return cut


def latest_timestamp(store: SyncStore, keys: Keys) -> int:
    """The latest timestamp that was taken, microseconds; 0 if none was. Raises CorruptRecordError."""
    return decimal(keys.clock, store.get(keys.clock))
