"""The users who were shown too often within a day, over all viewers, in one packed record.

    byte 0          layout version (1)
    7 bytes         0
    int64           time up to which impressions were counted, microseconds since 1970 UTC
    uint32          number of users n
    (n + 1) x uint32    where each id starts
    bytes           the ids, UTF-8, sorted by their bytes
    4 bytes         CRC-32 of all before

Little-endian. The worker counts and writes it under Keys.exposure; every process that ranks reads it.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.version.packed_record import RecordFormat

_FORMAT = RecordFormat("table of exposed people", 1, "7xqI")


@dataclass(frozen=True, slots=True)
class Exposed:
    """The users who were shown too often, and the time up to which impressions were counted."""

    timestamp_us: int = 0
    """microseconds; 0: nothing was counted"""
    people: frozenset[str] = frozenset()

    @classmethod
    def of(cls, timestamp_us: int, people: Iterable[str]) -> "Exposed":
        """The table of these users."""
        return cls(timestamp_us, frozenset(people))

    @property
    def identity(self) -> int:
        """A 32-bit fingerprint of the users; 0 if there are none."""
        return zlib.crc32(b"\n".join(self._encoded())) if self.people else 0

    def pack(self) -> bytes:
        """The record; equal tables are equal bytes."""
        encoded = self._encoded()
        starts = np.zeros(len(encoded) + 1, dtype="<u4")
        np.cumsum([len(user_id) for user_id in encoded], out=starts[1:])
        return _FORMAT.seal((self.timestamp_us, len(encoded)), [starts.tobytes(), *encoded])

    @classmethod
    def unpack(cls, packed: bytes | None) -> "Exposed":
        """The table of a record; an empty one for None. Raises CorruptRecordError."""
        if packed is None:
            return cls()
        (_, timestamp_us, n), end = _FORMAT.open(packed)
        text = _FORMAT.payload_start + 4 * (n + 1)
        starts = np.frombuffer(packed, "<u4", n + 1, _FORMAT.payload_start).tolist() if text <= end else [end]
        _FORMAT.check_length(end, text + starts[-1])
        ids = [packed[text + begin : text + stop].decode() for begin, stop in pairwise(starts)]
        return cls(timestamp_us, frozenset(ids))

    def _encoded(self) -> list[bytes]:
        return sorted(user_id.encode() for user_id in self.people)
