"""Who was shown more often than anybody should be within a day, over all viewers, in one packed record.

    byte 0          layout version (1)
    7 bytes         0
    int64           up to when showings were counted, microseconds since 1970 UTC
    uint32          number of people n
    (n + 1) x uint32    where the id of each begins
    bytes           the ids, UTF-8, sorted by their bytes
    4 bytes         CRC-32 of all before

Little-endian. The worker counts and writes it under Keys.exposure; every process that makes lists reads it.
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
    """The people who were shown too often, by the moment up to which that was counted."""

    timestamp_us: int = 0
    """microseconds; 0: nobody has counted"""
    people: frozenset[str] = frozenset()

    @classmethod
    def of(cls, timestamp_us: int, people: Iterable[str]) -> "Exposed":
        """The table of these people."""
        return cls(timestamp_us, frozenset(people))

    @property
    def identity(self) -> int:
        """A 32-bit number that two tables share where they name the same people; 0: nobody."""
        return zlib.crc32(b"\n".join(self._encoded())) if self.people else 0

    def pack(self) -> bytes:
        """The record; equal tables are equal bytes."""
        encoded = self._encoded()
        starts = np.zeros(len(encoded) + 1, dtype="<u4")
        np.cumsum([len(one) for one in encoded], out=starts[1:])
        return _FORMAT.seal((self.timestamp_us, len(encoded)), [starts.tobytes(), *encoded])

    @classmethod
    def unpack(cls, packed: bytes | None) -> "Exposed":
        """The table of a record; an empty one for None. Raises CorruptRecordError for another layout or damage."""
        if packed is None:
            return cls()
        (_, timestamp_us, n), end = _FORMAT.open(packed)
        text = _FORMAT.payload_start + 4 * (n + 1)
        starts = np.frombuffer(packed, "<u4", n + 1, _FORMAT.payload_start).tolist() if text <= end else [end]
        _FORMAT.check_length(end, text + starts[-1])
        ids = [packed[text + begin : text + stop].decode() for begin, stop in pairwise(starts)]
        return cls(timestamp_us, frozenset(ids))

    def _encoded(self) -> list[bytes]:
        return sorted(one.encode() for one in self.people)
