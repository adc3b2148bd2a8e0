"""A viewer's ranked list, packed so that a part of it is served without parsing it.

    byte 0          layout version (2)
    byte 1          1 where nobody is missing behind the last, else 0
    bytes 2-3       number of people k, uint16
    bytes 4-7       row of the viewer, uint32
    3 x uint64      the state that it was made in: epoch of the hidden set; revision of the viewer's live record, and
                    the number that says how her friends and her lifted ties stood (service.live_view.LiveView.turned)
    2 x uint32      what the soft rules were, and which friends could be named
    k x uint32      rows, best first, before any soft rule
    k x float32     scores, never rising
    k x uint8       source bits
    2 bytes         number of encoded entries e, uint16
    e x uint32      rows of the entries: the first places after the soft rules
    e x float32     their scores
    e x uint32      where in the text each entry ends
    e x uint32      where in the text each entry's position begins
    4 bytes         length of the text, uint32
    text            JSON of the e entries, positions 1 to e, separated by commas
    4 bytes         CRC-32 of all before

Little-endian. Where the state is still the same, the first L entries in their order are one slice of the text; where it
is not, the people are judged and placed anew, and entries are joined around their new positions.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.block import MAX_ROW
from models.errors import CorruptRecordError

LAYOUT = 2
_HEADER = struct.Struct("<BBHI3Q2I")
_ENCODED = struct.Struct("<H")
_WORD = struct.Struct("<I")
_BYTES_PER_PERSON = 9
_DIGITS = tuple(b"%d" % position for position in range(101))


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

    def halves(self, index: int) -> tuple[bytes, bytes]:
        """What stands before and after the position of an entry."""
        begin = self.ends[index - 1] + 1 if index else 0
        place = self.places[index]
        return self.text[begin:place], self.text[place + len(str(index + 1)) : self.ends[index]]

    @classmethod
    def joined(cls, halves: Sequence[tuple[bytes, bytes]]) -> "Entries":
        """Entries from what stands before and after each one's position."""
        parts, ends, places, end = [], [], [], 0
        for position, (before, after) in enumerate(halves, 1):
            digits = _DIGITS[position] if position < len(_DIGITS) else b"%d" % position
            entry = before + digits + after
            parts.append(entry)
            places.append(end + len(before))
            end += len(entry) + 1
            ends.append(end - 1)
        return cls(b",".join(parts), ends, places)


NO_ENTRIES = Entries(b"", (), ())


class State(NamedTuple):
    """What a list depends on beside its version; lists made in equal states are equal."""

    epoch: int = 0
    """of the hidden set"""
    revision: int = 0
    """of the viewer's live record; 0: there is none"""
    turned: int = 0
    """service.live_view.LiveView.turned"""
    soft: int = 0
    """of the soft rules: their parameters and who was exposed too much, 32 bits"""
    friends: int = 0
    """CRC-32 of what reasons were told by (service.ranking.told_identity), of entries alone"""


@dataclass(frozen=True, slots=True)
class RankedList:
    """Whom one viewer is shown in one context, best first.

    `viewer` is a row, None for somebody unknown; `rows` (k,) uint32; `scores` (k,) float32, 0-1, never rising;
    `sources` (k,) uint8 of models.sources.Source bits.
    """

    viewer: int | None
    rows: NDArray[np.uint32]
    scores: NDArray[np.float32]
    sources: NDArray[np.uint8]
    is_whole: bool = True
    """nobody is missing behind the last"""

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, kept: NDArray[np.bool_]) -> "RankedList":
        """Those of the people (k,) who are kept."""
        return RankedList(self.viewer, self.rows[kept], self.scores[kept], self.sources[kept], self.is_whole)

    def at(self, places: NDArray[np.int32]) -> "RankedList":
        """Those at these places (j,)."""
        taken = (self.rows.take(places), self.scores.take(places), self.sources.take(places))
        return RankedList(self.viewer, *taken, self.is_whole)

    def first(self, most: int) -> "RankedList":
        """The first `most` of the people, as a list that nobody is missing from."""
        return RankedList(self.viewer, self.rows[:most], self.scores[:most], self.sources[:most])

    @property
    def lowest(self) -> np.float32 | None:
        """What nobody missing scores above; None where nobody is."""
        return None if self.is_whole else self.scores[-1]


@dataclass(frozen=True, slots=True)
class KeptList:
    """A ranked list without the effect of soft rules, and its first places with it, as JSON."""

    listed: RankedList
    """those who hide at the moment included, whom entries leave out"""
    state: State
    rows: Sequence[int]
    """(e,) rows of the entries"""
    scores: Sequence[float]
    """(e,)"""
    entries: Entries

    def pack(self, most: int) -> bytes:
        """The record of the first `most` people. Raises ValueError for a viewer without a row."""
        listed = self.listed
        if listed.viewer is None:
            raise ValueError("a list of somebody unknown is not kept")
        k, e = min(len(listed), most), len(self.entries)
        text = self.entries.first(e)
        body = b"".join(
            [
                _HEADER.pack(LAYOUT, listed.is_whole and k == len(listed), k, listed.viewer, *self.state),
                listed.rows[:k].astype("<u4", copy=False).tobytes(),
                listed.scores[:k].astype("<f4", copy=False).tobytes(),
                listed.sources[:k].tobytes(),
                _ENCODED.pack(e),
                struct.pack(f"<{e}I{e}f{2 * e}I", *self.rows, *self.scores, *self.entries.ends, *self.entries.places),
                _WORD.pack(len(text)),
                text,
            ]
        )
        return body + _WORD.pack(zlib.crc32(body))

    @classmethod
    def unpack(cls, record: bytes, viewer: int, people: int = MAX_ROW + 1) -> "KeptList":
        """The list of a record, in a version with so many people; arrays are views of it.

        Raises CorruptRecordError for another layout, a wrong length or checksum, another viewer's list, or a row beyond
        the people: compiled loops look rows up unchecked.
        """
        try:
            layout, is_whole, k, owner, *state = _HEADER.unpack_from(record)
            if layout != LAYOUT:
                raise CorruptRecordError(f"ranked list of layout {layout}; this release reads layout {LAYOUT}")
            encoded_at = _HEADER.size + _BYTES_PER_PERSON * k
            (e,) = _ENCODED.unpack_from(record, encoded_at)
            places_at = encoded_at + _ENCODED.size
            text_at = places_at + 16 * e + _WORD.size
            (length,) = _WORD.unpack_from(record, text_at - _WORD.size)
            places = struct.unpack_from(f"<{e}I{e}f{2 * e}I", record, places_at)
            (checksum,) = _WORD.unpack_from(record, text_at + length)
        except struct.error as error:
            raise CorruptRecordError(f"a ranked list of {len(record)} bytes is truncated: {error}") from error
        end = text_at + length
        if len(record) != end + _WORD.size or zlib.crc32(memoryview(record)[:end]) != checksum:
            raise CorruptRecordError(f"the length or checksum of row {owner}'s ranked list is wrong")
        if owner != viewer:
            raise CorruptRecordError(f"a ranked list of row {owner} stands where row {viewer}'s is due")
        listed = RankedList(
            viewer=owner,
            rows=np.frombuffer(record, "<u4", k, _HEADER.size),
            scores=np.frombuffer(record, "<f4", k, _HEADER.size + 4 * k),
            sources=np.frombuffer(record, np.uint8, k, _HEADER.size + 8 * k),
            is_whole=bool(is_whole),
        )
        if k and listed.rows.max() >= people:
            raise CorruptRecordError(f"row {owner}'s ranked list names row {listed.rows.max()} of {people} people")
        entries = Entries(record[text_at:end], places[2 * e : 3 * e], places[3 * e :])
        return cls(listed, State(*state), places[:e], places[e : 2 * e], entries)
