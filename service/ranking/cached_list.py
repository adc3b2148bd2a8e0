"""A viewer's ranked list in the cache, packed so that a part of it is served without parsing it.

    byte 0          layout version (2)
    byte 1          1 if no one is missing after the last, else 0
    bytes 2-3       number of people k, uint16
    bytes 4-7       row of the viewer, uint32
    3 x uint64      CacheKey: epoch of the hidden set; revision of the viewer's live record; and its relation version
                    (service.ranking.viewer_state.ViewerState.relation_version)
    2 x uint32      CacheKey: fingerprints of the re-ranking and of the reasons
    k x uint32      rows, best first, before re-ranking
    k x float32     scores, never rising
    k x uint8       source bits
    2 bytes         number of encoded entries e, uint16
    e x uint32      rows of the entries: the first places after re-ranking
    e x float32     their scores
    e x uint32      where in the text each entry ends
    e x uint32      where in the text each entry's position begins
    4 bytes         length of the text, uint32
    text            JSON of the e entries, positions 1 to e, separated by commas
    4 bytes         CRC-32 of all before

Little-endian. If the key is still the same, the first L entries in their order are one slice of the text. If it is
not, the people are filtered and re-ranked again, and entries are joined around their new positions.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.errors import CorruptRecordError
from models.schema.vocabulary import Row
from models.version.candidate_block import MAX_ROW
from models.version.packed_record import RecordFormat
from service.ranking.list_json import Entries
from service.ranking.ranked_list import RankedList

LEAST_ENCODED = 20
"""people encoded in a cached list, if it has so many; a request for more encodes as many as it asks for"""

_FORMAT = RecordFormat("ranked list", 2, "BHI3Q2I")
_ENCODED = struct.Struct("<H")
_WORD = struct.Struct("<I")
_BYTES_PER_PERSON = 9


class CacheKey(NamedTuple):
    """What a list depends on beside its version; lists of equal keys are equal."""

    epoch: int = 0
    """of the hidden set: service.ranking.user_flags.UserFlags.epoch"""
    revision: int = 0
    """of the viewer's live record: service.ranking.pipeline.revision_fingerprint; 0: there is none"""
    relation_version: int = 0
    """service.ranking.viewer_state.ViewerState.relation_version"""
    rerank: int = 0
    """of the soft rules: their parameters and the table of exposed people, 32 bits"""
    reasons: int = 0
    """service.ranking.pipeline.reasons_fingerprint; the entries alone depend on it"""


@dataclass(frozen=True, slots=True)
class CachedList:
    """A ranked list before re-ranking, and its first places after it, as JSON."""

    listed: RankedList
    """people who hide at the moment are included; the entries leave them out"""
    key: CacheKey
    rows: Sequence[int]
    """(e,) rows of the entries"""
    scores: Sequence[float]
    """(e,)"""
    entries: Entries

    def pack(self, most: int) -> bytes:
        """The record of the first `most` people. Raises ValueError for a viewer without a row."""
        listed = self.listed
        if listed.viewer is None:
            raise ValueError("the list of a viewer without a row is not cached")
        people, e = len(listed.rows), len(self.entries.ends)
        k = min(people, most)
        text = self.entries.text
        return _FORMAT.seal(
            (listed.is_whole and k == people, k, listed.viewer, *self.key),
            [
                listed.rows[:k].astype("<u4", copy=False).tobytes(),
                listed.scores[:k].astype("<f4", copy=False).tobytes(),
                listed.sources[:k].tobytes(),
                _ENCODED.pack(e),
                struct.pack(f"<{e}I{e}f{2 * e}I", *self.rows, *self.scores, *self.entries.ends, *self.entries.places),
                _WORD.pack(len(text)),
                text,
            ],
        )

    @classmethod
    def unpack(cls, record: bytes, viewer: Row, people: int = MAX_ROW + 1) -> "CachedList":
        """The list of a record, in a version with so many people; arrays are views of it.

        Raises CorruptRecordError for another layout, a wrong length or checksum, another viewer's list, or a row beyond
        the people: compiled loops look rows up unchecked.
        """
        (_, is_whole, k, owner, *key), end = _FORMAT.open(record)
        rows_at = _FORMAT.payload_start
        encoded_at = rows_at + _BYTES_PER_PERSON * k
        try:
            (e,) = _ENCODED.unpack_from(record, encoded_at)
            places_at = encoded_at + _ENCODED.size
            text_at = places_at + 16 * e + _WORD.size
            (length,) = _WORD.unpack_from(record, text_at - _WORD.size)
            places = struct.unpack_from(f"<{e}I{e}f{2 * e}I", record, places_at)
        except struct.error as error:
            raise CorruptRecordError(f"the counts of row {owner}'s ranked list exceed it: {error}") from error
        _FORMAT.check_length(end, text_at + length)
        if owner != viewer:
            raise CorruptRecordError(f"the record of row {viewer}'s ranked list is row {owner}'s")
        listed = RankedList(
            viewer=viewer,
            rows=np.frombuffer(record, "<u4", k, rows_at),
            scores=np.frombuffer(record, "<f4", k, rows_at + 4 * k),
            sources=np.frombuffer(record, np.uint8, k, rows_at + 8 * k),
            is_whole=bool(is_whole),
        )
        if k and listed.rows.max() >= people:
            raise CorruptRecordError(f"row {owner}'s ranked list names row {listed.rows.max()} of {people} people")
        entries = Entries(record[text_at:end], places[2 * e : 3 * e], places[3 * e :])
        return cls(listed, CacheKey(*key), places[:e], places[e : 2 * e], entries)
