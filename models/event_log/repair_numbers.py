"""Mends the single numbers of the store that do not read back: the clock, the fences, and what was swept."""

from collections.abc import Iterable
from pathlib import Path

from models.event_log.repair import all_entries
from models.live_state.timestamps import take_timestamp_blocking
from models.store.decimals import damaged_among, read_decimal
from models.store.keys import SHARDS, Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us


def damaged_numbers(store: SyncStore, keys: Keys) -> list[str]:
    """The keys of the numbers that do not read back."""
    return damaged_among(dict(zip(keys.numbers, store.get_many(keys.numbers), strict=True)))


def repair_numbers(store: SyncStore, keys: Keys, home: Path, cuts: Iterable[int]) -> None:
    """Mends them, but for the watermark, which follows from the versions that can be activated.

    `cuts` are those of all versions that are known, microseconds. A fence becomes the latest of them and of the other
    fences. The clock goes on behind every cut, fence and entry of the event log, and behind the clock of this process.
    What was swept is swept again. Raises StoreError, and ArtefactError if the archive of this home lacks entries.
    """
    damaged = set(damaged_numbers(store, keys))
    fences = [keys.fence(shard) for shard in range(SHARDS)]
    latest = max([*cuts, *(read_decimal(value or b"") or 0 for value in store.get_many(fences))])
    for fence in damaged.intersection(fences):
        store.number_raise(fence, latest)
    if keys.clock in damaged:
        last = max((entry.timestamp_us for entry in all_entries(store, keys, home)), default=0)
        take_timestamp_blocking(store, keys, now=now_us(), after=max(latest, last))
    if keys.swept in damaged:
        store.delete([keys.swept])
