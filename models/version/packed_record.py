"""The envelope of a packed record: its layout version in the first byte, a CRC-32 of all before in the last four."""

import struct
import zlib
from typing import Any

from models.errors import CorruptRecordError

_CHECKSUM = struct.Struct("<I")
CHECKSUM_BYTES = _CHECKSUM.size


class RecordFormat:
    """Seals and opens the records of one type, which start with a little-endian header of fixed size."""

    def __init__(self, name: str, layout: int, header: str) -> None:
        """`name` is for errors; `header` is a format of `struct` for the fields after the layout version."""
        self.layout = layout
        self._name = name
        self._header = struct.Struct(f"<B{header}")
        self.payload_start = self._header.size

    def seal(self, header: tuple[int, ...], payload: list[bytes]) -> bytes:
        """The record of header fields and the bytes after them."""
        body = b"".join([self._header.pack(self.layout, *header), *payload])
        return body + _CHECKSUM.pack(zlib.crc32(body))

    def open(self, record: bytes) -> tuple[tuple[Any, ...], int]:
        """The header, its layout version first, and the end of the payload.

        Raises CorruptRecordError for a truncated or altered record and for another layout.
        """
        end = len(record) - _CHECKSUM.size
        if end < self.payload_start:
            raise CorruptRecordError(f"a {self._name} of {len(record)} bytes is shorter than its header")
        if record[0] != self.layout:
            raise CorruptRecordError(f"{self._name} of layout {record[0]}; this release reads layout {self.layout}")
        if zlib.crc32(memoryview(record)[:end]) != _CHECKSUM.unpack_from(record, end)[0]:
            raise CorruptRecordError(f"the checksum of a {self._name} is wrong")
        return self._header.unpack_from(record), end

    def check_length(self, end: int, expected: int) -> None:
        """Raises CorruptRecordError if the payload does not end where the counts of its header say."""
        if end != expected:
            raise CorruptRecordError(f"the payload of a {self._name} ends at byte {end} instead of {expected}")
