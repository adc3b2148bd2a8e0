"""The record of one list that was given out, and the batch of such records that is one entry of the exposure log.

    int64           when the list was made, microseconds since 1970 UTC
    uint8 n         people; uint8: how it was served (SERVED); uint8: how its places were filled (DRAWS)
    uint8 F, s      pair features; statistics of a viewer whom the version does not know
    4 x uint8       bytes of request id, version, context, viewer
    uint8           people of the answer who are not named
    2 x uint16      people before the first one recorded; bytes of the arms
    text            request id, version, context, viewer, UTF-8; then the arms, JSON
    s x float32     the viewer's statistics
    if F: F x float32 lowest and F x float32 highest value of each pair feature, as in the block
    n x uint32      rows in the version, in the order of the list; UNNAMED for who follows from the viewer's contacts
    n x float32     scores
    n x uint8       source bits
    if F: n x uint16 places in the block, n x F x uint8 codes
    if drawn: 2 x uint16 people k whose order was drawn, and how many at the front of the list were not
              k x float32 logarithms of their weights, in the order of the list before the draw
              n x uint16 which of them each person is, n x uint16 which place of the whole list it has

A batch is

    byte 0          layout version (1)
    uint64          number of the process, which no other has
    uint64          lists that the process recorded before the first of the batch, the lost ones included
    uint32          records
    records         each after its length, uint32
    4 bytes         CRC-32 of all before

Little-endian. Rows become ids, and codes features, when the worker files a list (models.outcomes.filed_rows).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.schema.candidate_sources import Source
from models.version.packed_record import RecordFormat

SERVED: Final = ("ranked", "cache", "stale", "cold_start", "empty")
"""by code, how a list was served; an empty one has no people"""
DRAWS: Final = ("none", "sampled", "uniform")
"""by code, how places were filled (models.outcomes.schema)"""
ENTRY_BYTES: Final = 16 << 10
"""a batch is closed when it has reached this size"""

UNNAMED: Final = (1 << 32) - 1
"""the row of somebody of whom the place in the list alone is recorded"""

_BATCH = RecordFormat("batch of exposures", 1, "QQI")
_HEAD = struct.Struct("<q10B2H")
_LENGTH = struct.Struct("<I")
_DRAW = struct.Struct("<2H")


class PackedPeople(NamedTuple):
    """The people of a list, as the record holds them."""

    n: int
    features: int
    """pair features; 0: the list is not of a block"""
    ranges: bytes
    """lowest and highest values of the pair features"""
    columns: bytes
    """rows, scores, source bits; with features also places and codes"""
    unnamed: int = 0
    """people whose row is UNNAMED, or of whom nothing is in the columns"""


NO_PEOPLE: Final = PackedPeople(0, 0, b"", b"")


class ListHead(NamedTuple):
    """What a record says of a list beside its people."""

    at: int
    """microseconds"""
    request_id: str
    version: str
    context: str
    viewer: str
    served: str
    arms: Mapping[str, str]
    """by experiment, the arm"""
    offset: int = 0
    """people of the pages before, and contacts above"""
    draw: str = DRAWS[0]
    unrecorded: int = 0
    """contacts, newcomers and those whom contacts know, of whom the log says nothing else (models.outcomes.schema)"""


class DrawnPlaces(NamedTuple):
    """Where a draw put the people of a list."""

    first: int
    """people at the front of the whole list who were not drawn"""
    weights: NDArray[np.float32]
    """(k,) logarithms of the weights of those who were, in the order of the list before the draw"""
    people: NDArray[np.uint16]
    """(n,) position of each person in the whole list before the draw"""
    places: NDArray[np.uint16]
    """(n,) and after it"""

    def pack(self) -> bytes:
        """The end of a record."""
        columns = (self.weights.astype("<f4"), self.people.astype("<u2"), self.places.astype("<u2"))
        return _DRAW.pack(len(self.weights), self.first) + b"".join(column.tobytes() for column in columns)

    @classmethod
    def of(cls, reader: "_Reader", n: int) -> "DrawnPlaces":
        """The places of the n people of a record."""
        k, first = reader.array("<u2", 2).tolist()
        return cls(first, reader.array("<f4", k), reader.array("<u2", n), reader.array("<u2", n))


@dataclass(frozen=True, slots=True, eq=False)
class ExposureRecord:
    """One list, read back; F is 0 for a list that is not of a block."""

    head: ListHead
    rows: NDArray[np.uint32]
    """(n,) in the version, or UNNAMED"""
    scores: NDArray[np.float32]
    """(n,)"""
    sources: NDArray[np.uint8]
    """(n,) bits of models.schema.candidate_sources.Source"""
    places: NDArray[np.uint16]
    """(n,) in the block, or (0,)"""
    codes: NDArray[np.uint8]
    """(n, F)"""
    low: NDArray[np.float32]
    """(F,)"""
    high: NDArray[np.float32]
    """(F,)"""
    drawn: "DrawnPlaces | None" = None
    """None: nothing was drawn"""
    statistics: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """(s,) of a viewer whom the version does not know"""


class ReadCodes(Protocol):
    """What the ranker read of the people of a list: a candidate block, or what a cached list kept of one."""

    @property
    def codes(self) -> NDArray[np.uint8]:
        """(F, m) uint8"""
        ...

    @property
    def low(self) -> NDArray[np.float32]:
        """(F,)"""
        ...

    @property
    def high(self) -> NDArray[np.float32]:
        """(F,)"""
        ...


class KeptCodes(NamedTuple):
    """What a cached list keeps of a block, for the first m people of the list."""

    codes: NDArray[np.uint8]
    """(F, m)"""
    low: NDArray[np.float32]
    """(F,)"""
    high: NDArray[np.float32]
    """(F,)"""
    places: NDArray[np.uint16]
    """(m,) places in the block"""


def codes_of(places: NDArray[np.int32], read: ReadCodes) -> tuple[bytes, bytes]:
    """Places in the block (k,) uint16, and codes (k, F) uint8, of the people at places of a list that was read."""
    in_block = read.places.take(places) if isinstance(read, KeptCodes) else places
    return in_block.astype("<u2").tobytes(), read.codes.take(places, axis=1).T.tobytes()


def by_contacts(sources: NDArray[np.uint8]) -> bool:
    """Whether the viewer's contacts count in a block or a list with these source bits (m,)."""
    return bool((sources & np.uint8(Source.CONTACTS)).any())


def pack_unread(rows: NDArray[np.uint32], scores: NDArray[np.float32], sources: NDArray[np.uint8]) -> PackedPeople:
    """The people (n,) of a list without what the ranker read: it is of no block, or of one in which contacts count.

    The log tells of nobody's address book: of those found through contacts it says the places alone.
    """
    hidden = (sources & np.uint8(Source.CONTACTS)) != 0
    unnamed = int(np.count_nonzero(hidden))
    if unnamed and unnamed == len(rows):
        return NO_PEOPLE._replace(unnamed=unnamed)
    columns = (
        np.where(hidden, np.uint32(UNNAMED), rows).astype("<u4", copy=False),
        np.where(hidden, np.float32(0), scores).astype("<f4", copy=False),
        np.where(hidden, np.uint8(0), sources),
    )
    return PackedPeople(len(rows), 0, b"", b"".join(column.tobytes() for column in columns), unnamed)


def ranges_of(read: ReadCodes) -> bytes:
    """The lowest and the highest values of the pair features."""
    return read.low.astype("<f4", copy=False).tobytes() + read.high.astype("<f4", copy=False).tobytes()


def pack_list(head: ListHead, people: PackedPeople, statistics: bytes = b"", drawn: bytes = b"") -> bytes:
    """The record of a list. Raises ValueError if a text is longer than 255 bytes, or the arms than 65,535."""
    request_id, version, context = head.request_id.encode(), head.version.encode(), head.context.encode()
    viewer, arms = head.viewer.encode(), orjson.dumps(dict(head.arms)) if head.arms else b""
    try:
        packed = _HEAD.pack(
            head.at,
            people.n,
            SERVED.index(head.served),
            DRAWS.index(head.draw),
            people.features,
            len(statistics) // 4,
            len(request_id),
            len(version),
            len(context),
            len(viewer),
            head.unrecorded,
            head.offset,
            len(arms),
        )
    except struct.error as error:
        raise ValueError(f"a list does not fit its record: {error}") from error
    texts = (request_id, version, context, viewer, arms)
    return b"".join((packed, *texts, statistics, people.ranges, people.columns, drawn))


def unpack_list(record: bytes) -> ExposureRecord:
    """The list of a record. Raises CorruptRecordError."""
    try:
        at, n, served, draw, features, s, *lengths, unrecorded, offset, arms = _HEAD.unpack_from(record)
        reader = _Reader(record, _HEAD.size)
        request_id, version, context, viewer = (reader.text(length) for length in lengths)
        of_arms = orjson.loads(reader.text(arms)) if arms else {}
        texts = (request_id, version, context, viewer)
        head = ListHead(at, *texts, SERVED[served], of_arms, offset, DRAWS[draw], unrecorded)
        statistics, low, high = (reader.array("<f4", k) for k in (s, features, features))
        rows, scores, sources = reader.array("<u4", n), reader.array("<f4", n), reader.array("u1", n)
        places = reader.array("<u2", n if features else 0)
        codes = reader.array("u1", n * features).reshape(n, features)
        drawn = DrawnPlaces.of(reader, n) if draw else None
    except (struct.error, IndexError, ValueError) as error:
        raise CorruptRecordError(f"the record of a list cannot be read: {error}") from error
    if reader.at != len(record):
        raise CorruptRecordError(f"the record of a list has {len(record)} bytes instead of {reader.at}")
    return ExposureRecord(head, rows, scores, sources, places, codes, low, high, drawn, statistics)


class _Reader:
    """Reads a record from front to back."""

    def __init__(self, record: bytes, at: int) -> None:
        self.record, self.at = record, at

    def text(self, length: int) -> str:
        text = self.record[self.at : self.at + length].decode()
        self.at += length
        return text

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        array = np.frombuffer(self.record, dtype, count, self.at) if count else np.zeros(0, dtype)
        self.at += array.nbytes
        return array


class Batch(NamedTuple):
    """The records of one entry of the exposure log."""

    process: int
    before: int
    """lists that the process recorded before"""
    records: list[bytes]

    def pack(self) -> bytes:
        """The entry."""
        payload = [part for record in self.records for part in (_LENGTH.pack(len(record)), record)]
        return _BATCH.seal((self.process, self.before, len(self.records)), payload)

    @classmethod
    def unpack(cls, entry: bytes) -> "Batch":
        """The batch of an entry. Raises CorruptRecordError."""
        (_, process, before, count), end = _BATCH.open(entry)
        records, at = [], _BATCH.payload_start
        for _ in range(count):
            if at + _LENGTH.size > end:
                raise CorruptRecordError("a batch of exposures has fewer records than its header says")
            (length,) = _LENGTH.unpack_from(entry, at)
            at += _LENGTH.size + length
            records.append(entry[at - length : at])
        _BATCH.check_length(end, at)
        return cls(process, before, records)


def batches(process: int, before: int, records: Sequence[bytes]) -> Iterator[Batch]:
    """Records in batches of about ENTRY_BYTES; `before` as in Batch, of the first."""
    held: list[bytes] = []
    size = 0
    for record in records:
        held.append(record)
        size += len(record)
        if size >= ENTRY_BYTES:
            yield Batch(process, before, held)
            before, held, size = before + len(held), [], 0
    if held:
        yield Batch(process, before, held)
