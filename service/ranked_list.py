"""A viewer's ranked list, packed so that a part of it is served without parsing it.

    byte 0          layout version (1)
    byte 1          0
    bytes 2-3       number of people k, uint16
    bytes 4-7       row of the viewer, uint32
    k x uint32      rows, best first
    k x float32     scores, never rising
    k x uint8       source bits
    2 bytes         number of encoded entries e, uint16
    e x uint32      where in the text each entry ends
    e x uint32      where in the text each entry's position begins
    4 bytes         length of the text, uint32
    text            JSON of the first e entries, positions 1 to e, separated by commas
    4 bytes         CRC-32 of all before

Little-endian. The first L entries in their order are one slice of the text; where somebody is left out, entries are
joined around their new positions. Entries beyond e are encoded when they are asked for.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError

LAYOUT = 1
_HEADER = struct.Struct("<BBHI")
_ENCODED = struct.Struct("<H")
_WORD = struct.Struct("<I")
_BYTES_PER_PERSON = 9


@dataclass(frozen=True, slots=True)
class Entries:
    """JSON of the first people of a list: `text` holds them in order with positions from 1, separated by commas.

    `ends[i]` is where entry i ends in the text (its comma left out), `places[i]` where its position begins.
    """

    text: bytes
    ends: Sequence[int]
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.ends)

    def first(self, count: int) -> bytes:
        """The first `count` entries with the commas between them."""
        return self.text[: self.ends[count - 1]] if count else b""

    def at(self, index: int, position: int) -> bytes:
        """One entry, moved to a position."""
        begin = self.ends[index - 1] + 1 if index else 0
        place = self.places[index]
        return b"%b%d%b" % (
            self.text[begin:place],
            position,
            self.text[place + len(str(index + 1)) : self.ends[index]],
        )

    @classmethod
    def joined(cls, halves: Sequence[tuple[bytes, bytes]]) -> "Entries":
        """Entries from what stands before and after each one's position."""
        parts, ends, places, end = [], [], [], 0
        for position, (before, after) in enumerate(halves, 1):
            digits = b"%d" % position
            places.append(end + len(before))
            end += len(before) + len(digits) + len(after)
            ends.append(end)
            end += 1
            parts.append(before + digits + after)
        return cls(b",".join(parts), ends, places)


NO_ENTRIES = Entries(b"", (), ())


@dataclass(frozen=True, slots=True)
class RankedList:
    """Whom one viewer is shown in one context, best first.

    `viewer` is a row, None for somebody unknown; `rows` (k,) uint32; `scores` (k,) float32, 0-1, never rising;
    `sources` (k,) uint8 of models.sources.Source bits. `entries` are the first of them as JSON.
    """

    viewer: int | None
    rows: NDArray[np.uint32]
    scores: NDArray[np.float32]
    sources: NDArray[np.uint8]
    entries: Entries = NO_ENTRIES

    def __len__(self) -> int:
        return len(self.rows)

    def pack(self, most: int) -> bytes:
        """The record of the first `most` people. Raises ValueError for a viewer without a row."""
        if self.viewer is None:
            raise ValueError("a list of somebody unknown is not kept")
        k, e = min(len(self.rows), most), min(len(self.entries), most)
        text = self.entries.first(e)
        body = b"".join(
            [
                _HEADER.pack(LAYOUT, 0, k, self.viewer),
                self.rows[:k].astype("<u4", copy=False).tobytes(),
                self.scores[:k].astype("<f4", copy=False).tobytes(),
                self.sources[:k].tobytes(),
                _ENCODED.pack(e),
                struct.pack(f"<{2 * e}I", *self.entries.ends[:e], *self.entries.places[:e]),
                _WORD.pack(len(text)),
                text,
            ]
        )
        return body + _WORD.pack(zlib.crc32(body))

    @classmethod
    def unpack(cls, record: bytes, viewer: int) -> "RankedList":
        """The list of a record; arrays are views of it.

        Raises CorruptRecordError for another layout, a wrong length or checksum, or another viewer's list.
        """
        try:
            layout, _, k, owner = _HEADER.unpack_from(record)
            if layout != LAYOUT:
                raise CorruptRecordError(f"ranked list of layout {layout}; this release reads layout {LAYOUT}")
            encoded_at = _HEADER.size + _BYTES_PER_PERSON * k
            (e,) = _ENCODED.unpack_from(record, encoded_at)
            offsets_at = encoded_at + _ENCODED.size
            text_at = offsets_at + 8 * e + _WORD.size
            (length,) = _WORD.unpack_from(record, text_at - _WORD.size)
            offsets = struct.unpack_from(f"<{2 * e}I", record, offsets_at)
            (checksum,) = _WORD.unpack_from(record, text_at + length)
        except struct.error as error:
            raise CorruptRecordError(f"a ranked list of {len(record)} bytes is truncated: {error}") from error
        end = text_at + length
        if len(record) != end + _WORD.size or zlib.crc32(memoryview(record)[:end]) != checksum:
            raise CorruptRecordError(f"the length or checksum of row {owner}'s ranked list is wrong")
        if owner != viewer:
            raise CorruptRecordError(f"a ranked list of row {owner} stands where row {viewer}'s is due")
        return cls(
            viewer=owner,
            rows=np.frombuffer(record, "<u4", k, _HEADER.size),
            scores=np.frombuffer(record, "<f4", k, _HEADER.size + 4 * k),
            sources=np.frombuffer(record, np.uint8, k, _HEADER.size + 8 * k),
            entries=Entries(record[text_at:end], offsets[:e], offsets[e:]),
        )
