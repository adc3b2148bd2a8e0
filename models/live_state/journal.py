"""The journal at the end of a live record: one entry for each change since the record was last rewritten.

    1 byte          number: an edge event (models.live_state.edges), PROFILE, FLAG and above, or MERGED
    8 bytes         timestamp, int64, microseconds; of MERGED the revision of the base before
    1 byte          length of the text
    bytes           text, UTF-8: the other user; of a flag "1" or "0"; of MERGED the length that was merged
    2 bytes         the lower half of the CRC-32 of all before

Little-endian. Writers add entries without reading the record. Merging the same entries in any order, once or twice,
gives the same record, except for impressions, which are written once.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from models.errors import CorruptRecordError
from models.live_state.edges import EDGE_EVENTS
from models.schema.columns import Flag

PROFILE = EDGE_EVENTS
"""the profile changed"""
FLAG = EDGE_EVENTS + 1
"""the first flag changed; further flags follow in their order"""

_FLAGS = tuple(Flag)
MERGED = FLAG + len(_FLAGS)
"""first in a journal: which part of which record was merged into the base; what follows it came after that part"""

_HEAD = struct.Struct("<BqB")
_CHECK = struct.Struct("<H")


class JournalEntry(NamedTuple):
    """One change."""

    number: int
    timestamp_us: int
    text: str = ""

    def encode(self) -> bytes:
        """The bytes of the entry."""
        text = self.text.encode()
        body = _HEAD.pack(self.number, self.timestamp_us, len(text)) + text
        return body + _CHECK.pack(zlib.crc32(body) & 0xFFFF)

    @classmethod
    def of_flag(cls, flag: Flag, value: bool, timestamp_us: int) -> "JournalEntry":
        """The change of a flag."""
        return cls(FLAG + _FLAGS.index(flag), timestamp_us, "1" if value else "0")

    @classmethod
    def of_merge(cls, revision: int, length: int) -> "JournalEntry":
        """The note that the first `length` bytes of the record with that revision were merged."""
        return cls(MERGED, revision, str(length))

    @property
    def flag(self) -> tuple[Flag, bool]:
        """The flag that changed and its value, if the number is FLAG or above."""
        return _FLAGS[self.number - FLAG], self.text == "1"


def entries(packed: bytes, start: int = 0) -> Iterator[JournalEntry]:
    """The entries of a journal that begins at `start`. Raises CorruptRecordError."""
    end, head, check = len(packed), _HEAD.size, _CHECK.size
    while start < end:
        text_at = start + head
        if text_at > end:
            raise CorruptRecordError("the journal of a live record is truncated")
        number, timestamp_us, length = _HEAD.unpack_from(packed, start)
        stop = text_at + length
        if stop + check > end or number > MERGED:
            raise CorruptRecordError("the journal of a live record is truncated or altered")
        if zlib.crc32(packed[start:stop]) & 0xFFFF != _CHECK.unpack_from(packed, stop)[0]:
            raise CorruptRecordError("the checksum of an entry in the journal of a live record is wrong")
        yield JournalEntry(number, timestamp_us, packed[text_at:stop].decode())
        start = stop + check


def boundary(packed: bytes, start: int, least: int) -> int:
    """Where the first entry begins that is at `least` or behind it, in a journal that begins at `start`.

    Raises CorruptRecordError.
    """
    while start < least:
        if start + _HEAD.size > len(packed):
            raise CorruptRecordError("the journal of a live record is truncated")
        start += _HEAD.size + _HEAD.unpack_from(packed, start)[2] + _CHECK.size
    return start


def merged_from(packed: bytes, start: int) -> tuple[int, int, int] | None:
    """Of a journal that begins at `start` with MERGED, the revision and the length merged, and where the rest begins.

    None for any other journal. Raises CorruptRecordError.
    """
    if start >= len(packed) or packed[start] != MERGED:
        return None
    end = boundary(packed, start, start + 1)
    (entry,) = entries(packed[:end], start)
    return entry.timestamp_us, int(entry.text), end
