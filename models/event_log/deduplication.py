"""The events of a viewer that were acknowledged within the last 48 hours, so that a repeated one has no effect."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.event_log.event import HASH_BYTES

KEPT_S = 48 * 3600
"""how long an event is recognised when it is sent again"""

_ENTRY = np.dtype([("hash", f"V{HASH_BYTES}"), ("at", "<u4")])


class RecentEvents:
    """Hashes of events (models.event_log.event.Event.hash) and when each was acknowledged, epoch seconds."""

    def __init__(self, entries: NDArray[np.void] | None = None) -> None:
        self._entries = np.zeros(0, _ENTRY) if entries is None else entries
        self._hashes = {bytes(event_hash) for event_hash in self._entries["hash"]}

    @classmethod
    def unpack(cls, packed: bytes | None, now_s: int) -> "RecentEvents":
        """The unexpired events of a packed record; none for None. Raises CorruptRecordError."""
        if packed is None:
            return cls()
        if len(packed) % _ENTRY.itemsize:
            raise CorruptRecordError(f"a record of acknowledged events has {len(packed)} bytes: it is truncated")
        entries = np.frombuffer(packed, _ENTRY)
        return cls(entries[entries["at"].astype(np.int64) > now_s - KEPT_S])

    def __contains__(self, event_hash: bytes) -> bool:
        return event_hash in self._hashes

    def add(self, hashes: Iterable[bytes], now_s: int) -> None:
        """Adds events acknowledged at `now_s`."""
        added = list(hashes)
        entries = np.array([(event_hash, now_s) for event_hash in added], dtype=_ENTRY)
        self._entries = np.concatenate([self._entries, entries])
        self._hashes.update(added)

    def pack(self) -> bytes:
        """The record, 12 bytes for each event."""
        return self._entries.tobytes()
