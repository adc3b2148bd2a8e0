"""The journal at the end of a live record: one entry for each change since the record was last rewritten.

    1 byte          number: an edge event (models.live_state.edges), PROFILE, or FLAG and above
    8 bytes         timestamp, int64, microseconds
    1 byte          length of the text
    bytes           text, UTF-8: the other user; of a flag "1" or "0"
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
        if stop + check > end or number >= FLAG + len(_FLAGS):
            raise CorruptRecordError("the journal of a live record is truncated or altered")
        if zlib.crc32(packed[start:stop]) & 0xFFFF != _CHECK.unpack_from(packed, stop)[0]:
            raise CorruptRecordError("the checksum of an entry in the journal of a live record is wrong")
        yield JournalEntry(number, timestamp_us, packed[text_at:stop].decode())
        start = stop + check
