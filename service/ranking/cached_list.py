"""A viewer's ranked list in the cache, packed so that a part of it is served without parsing it.

    byte 0          layout version (3)
    byte 1          1 if no one is missing after the last, else 0
    bytes 2-3       number of people k, uint16
    bytes 4-7       row of the viewer, uint32
    3 x uint64      CacheKey: epoch of the hidden set; revision of the viewer's live record; and its relation version
                    (service.ranking.viewer_state.ViewerState.relation_version)
    2 x uint32      CacheKey: fingerprints of the re-ranking and of the reasons
    uint8 F         pair features of the block, if what the ranker read is kept for the exposure log; else 0
    k x uint32      rows, best first, before re-ranking
    k x float32     scores, never rising
    k x uint8       source bits
    if F: 2 x F x float32 lowest and highest value of each pair feature, k x uint16 places in the block, k x F x uint8
                    codes
    2 bytes         number of encoded entries e, uint16
    e x uint32      rows of the entries: the first places after re-ranking
    e x float32     their scores
    e x uint32      where in the text each entry ends
    e x uint32      where in the text each entry's position begins
    4 bytes         length of the text, uint32
    text            JSON of the e entries, positions 1 to e, separated by commas
    if F: e x uint8 source bits, e x uint16 places in the block and e x F x uint8 codes of the entries
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
from models.outcomes.exposure_record import (
    KeptCodes,
    PackedPeople,
    ReadCodes,
    by_contacts,
    codes_of,
    pack_unread,
    ranges_of,
)
from models.schema.vocabulary import Row
from models.version.candidate_block import MAX_ROW
from models.version.packed_record import RecordFormat
from service.ranking.list_json import Entries
from service.ranking.ranked_list import RankedList

LEAST_ENCODED = 20
"""people encoded in a cached list, if it has so many; a request for more encodes as many as it asks for"""

_FORMAT = RecordFormat("ranked list", 3, "BHI3Q2IB")
_ENCODED = struct.Struct("<H")
_WORD = struct.Struct("<I")
_BYTES_PER_PERSON, _BYTES_PER_ENTRY = 9, 16
_BYTES_PER_PLACE = 2


class CacheKey(NamedTuple):
    """What a list depends on beside its version; lists of equal keys are equal."""

    epoch: int = 0
    """of the hidden set: service.ranking.user_flags.UserFlags.epoch"""
    revision: int = 0
    """of the viewer's live record: service.ranking.pipeline.revision_fingerprint; 0: there is none"""
    relation_version: int = 0
    """service.ranking.viewer_state.ViewerState.relation_version, with another number under other powers of outcomes"""
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
    kept: ReadCodes | None = None
    """what the ranker read of the people at `listed.places`; None: it is not kept"""
    placed: RankedList | None = None
    """(e,) people of the entries, with their places in the block; None if nothing is kept"""

    def pack(self, most: int) -> bytes:
        """The record of the first `most` people. Raises ValueError for a viewer without a row."""
        listed = self.listed
        if listed.viewer is None:
            raise ValueError("the list of a viewer without a row is not cached")
        people, e = len(listed.rows), len(self.entries.ends)
        k = min(people, most)
        text = self.entries.text
        features, of_people, of_entries = self._kept(k)
        return _FORMAT.seal(
            (listed.is_whole and k == people, k, listed.viewer, *self.key, features),
            [
                listed.rows[:k].astype("<u4", copy=False).tobytes(),
                listed.scores[:k].astype("<f4", copy=False).tobytes(),
                listed.sources[:k].tobytes(),
                *of_people,
                _ENCODED.pack(e),
                struct.pack(f"<{e}I{e}f{2 * e}I", *self.rows, *self.scores, *self.entries.ends, *self.entries.places),
                _WORD.pack(len(text)),
                text,
                *of_entries,
            ],
        )

    def _kept(self, k: int) -> tuple[int, Sequence[bytes], Sequence[bytes]]:
        """The number of pair features, and what is kept of the first k people and of the entries."""
        kept, placed, places = self.kept, self.placed, self.listed.places
        if kept is None or placed is None or placed.places is None or places is None:
            return 0, (), ()
        of_people = (ranges_of(kept), *codes_of(places[:k], kept))
        return len(kept.low), of_people, (placed.sources.tobytes(), *codes_of(placed.places, kept))

    @classmethod
    def unpack(cls, record: bytes, viewer: Row, people: int = MAX_ROW + 1) -> "CachedList":
        """The list of a record; arguments and errors as in CachedRecord.open and CachedRecord.unpack."""
        return CachedRecord.open(record, viewer).unpack(people)


class CachedRecord:
    """A record of a list, verified but not unpacked: its first entries are served as they are."""

    __slots__ = ("_counts", "_end", "_record", "_text_at", "encoded", "key", "viewer")

    def __init__(
        self, record: bytes, viewer: Row, key: CacheKey, counts: tuple[int, int, int, int], text: tuple[int, int]
    ) -> None:
        """`counts` are `is_whole`, the people, the encoded entries and the features kept; `text` is where the JSON of
        the entries begins and ends."""
        self.viewer = viewer
        self.key = key
        self.encoded = counts[2]
        """entries"""
        self._record = record
        self._counts = counts
        self._text_at, self._end = text

    @classmethod
    def open(cls, record: bytes, viewer: Row) -> "CachedRecord":
        """The record of a viewer's list.

        Raises CorruptRecordError for another layout, a wrong length or checksum, or another viewer's list.
        """
        (_, is_whole, k, owner, *key, features), end = _FORMAT.open(record)
        encoded_at = _FORMAT.payload_start + _BYTES_PER_PERSON * k
        per_place = _BYTES_PER_PLACE + features if features else 0
        encoded_at += 8 * features + per_place * k
        try:
            (e,) = _ENCODED.unpack_from(record, encoded_at)
            text_at = encoded_at + _ENCODED.size + _BYTES_PER_ENTRY * e + _WORD.size
            (length,) = _WORD.unpack_from(record, text_at - _WORD.size)
        except struct.error as error:
            raise CorruptRecordError(f"the counts of row {owner}'s ranked list exceed it: {error}") from error
        _FORMAT.check_length(end, text_at + length + (e * (1 + per_place) if features else 0))
        if owner != viewer:
            raise CorruptRecordError(f"the record of row {viewer}'s ranked list is row {owner}'s")
        return cls(record, viewer, CacheKey(*key), (is_whole, k, e, features), (text_at, text_at + length))

    def first(self, count: int) -> bytes:
        """The JSON of the first `count` entries with the commas between them."""
        if not count:
            return b""
        ends_at = self._text_at - _WORD.size - 8 * self.encoded
        (end,) = _WORD.unpack_from(self._record, ends_at + 4 * (count - 1))
        return self._record[self._text_at : self._text_at + end]

    def unpack(self, people: int = MAX_ROW + 1) -> CachedList:
        """The list, in a version with so many people; arrays are views of the record.

        Raises CorruptRecordError for a row beyond the people: compiled loops look rows up unchecked.
        """
        is_whole, k, e, features = self._counts
        record, rows_at = self._record, _FORMAT.payload_start
        kept = None
        if features:
            at = rows_at + _BYTES_PER_PERSON * k
            ranges = np.frombuffer(record, "<f4", 2 * features, at)
            places = np.frombuffer(record, "<u2", k, at + 8 * features)
            codes = np.frombuffer(record, np.uint8, k * features, at + 8 * features + _BYTES_PER_PLACE * k)
            kept = KeptCodes(codes.reshape(k, features).T, ranges[:features], ranges[features:], places)
        listed = RankedList(
            viewer=self.viewer,
            rows=np.frombuffer(record, "<u4", k, rows_at),
            scores=np.frombuffer(record, "<f4", k, rows_at + 4 * k),
            sources=np.frombuffer(record, np.uint8, k, rows_at + 8 * k),
            is_whole=bool(is_whole),
            places=None if kept is None else np.arange(k, dtype=np.int32),
        )
        if k and listed.rows.max() >= people:
            raise CorruptRecordError(
                f"row {self.viewer}'s ranked list names row {listed.rows.max()} of {people} people"
            )
        encoded = struct.unpack_from(f"<{e}I{e}f{2 * e}I", record, self._text_at - _WORD.size - _BYTES_PER_ENTRY * e)
        entries = Entries(record[self._text_at : self._end], encoded[2 * e : 3 * e], encoded[3 * e :])
        return CachedList(listed, self.key, encoded[:e], encoded[e : 2 * e], entries, kept)

    def packed_people(self, count: int) -> PackedPeople:
        """The people of the first `count` entries as the exposure log records them."""
        _, k, e, features = self._counts
        record, rows_at = self._record, self._text_at - _WORD.size - _BYTES_PER_ENTRY * self.encoded
        rows = record[rows_at : rows_at + 4 * count]
        scores = record[rows_at + 4 * e : rows_at + 4 * (e + count)]
        sources = np.frombuffer(record, np.uint8, k, _FORMAT.payload_start + 8 * k)
        if not features or by_contacts(sources):  # the sources are those of the list
            listed, own = np.frombuffer(record, "<u4", k, _FORMAT.payload_start), np.frombuffer(rows, "<u4")
            found = np.array([int(sources[np.flatnonzero(listed == row)[:1]].sum()) for row in own], np.uint8)
            return pack_unread(own, np.frombuffer(scores, "<f4"), found)
        ranges_at = _FORMAT.payload_start + _BYTES_PER_PERSON * k
        ranges = record[ranges_at : ranges_at + 8 * features]
        if count == e:  # they lie side by side
            kept = record[self._end : self._end + (1 + _BYTES_PER_PLACE + features) * e]
            return PackedPeople(count, features, ranges, record[rows_at : rows_at + 8 * e] + kept)
        places_at, per_entry = self._end + e, _BYTES_PER_PLACE
        codes_at = places_at + per_entry * e
        columns = (
            rows,
            scores,
            record[self._end : self._end + count],
            record[places_at : places_at + per_entry * count],
            record[codes_at : codes_at + features * count],
        )
        return PackedPeople(count, features, ranges, b"".join(columns))
