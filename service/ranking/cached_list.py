"""A viewer's ranked list, packed so that a part of it is served without parsing it."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.errors import CorruptRecordError
from models.version.candidate_block import MAX_ROW
from service.ranking.list_json import Entries
from service.ranking.ranked_list import RankedList

LAYOUT = 2


_HEADER = struct.Struct("<BBHI3Q2I")


_ENCODED = struct.Struct("<H")


_WORD = struct.Struct("<I")


_BYTES_PER_PERSON = 9


class CacheKey(NamedTuple):
    """What a list depends on beside its version; lists made in equal states are equal."""

    epoch: int = 0
    """of the hidden set"""
    revision: int = 0
    """of the viewer's live record; 0: there is none"""
    relation_version: int = 0
    """service.ranking.viewer_state.ViewerState.turned"""
    soft: int = 0
    """of the soft rules: their parameters and who was exposed too much, 32 bits"""
    friends: int = 0
    """CRC-32 of what reasons were told by (service.ranking.pipeline.reasons_fingerprint), of entries alone"""


@dataclass(frozen=True, slots=True)
class CachedList:
    """A ranked list without the effect of soft rules, and its first places with it, as JSON."""

    listed: RankedList
    """those who hide at the moment included, whom entries leave out"""
    state: CacheKey
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
    def unpack(cls, record: bytes, viewer: int, people: int = MAX_ROW + 1) -> "CachedList":
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
        return cls(listed, CacheKey(*state), places[:e], places[e : 2 * e], entries)
