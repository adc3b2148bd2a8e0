"""The candidate block: all that the service needs of one viewer's candidates, in one packed little-endian record.

    byte 0          layout version: 3 by night, 4 by the worker
    byte 1          number of pair features F
    bytes 2-3       number of candidates m, uint16
    bytes 4-7       row of the viewer, uint32
    8 bytes         layout 4 alone: latest timestamp of the live record it was made from, int64, microseconds
    F x float32     lowest value of each feature in this block
    F x float32     highest value of each feature in this block
    the rest        F + 4 planes of m bytes (models.kernels.packed_planes): codes, feature by feature, source bits,
                    and the low, middle and high bytes of the candidates' rows
    4 bytes         CRC-32 of all before

A plane takes as many bits as its values need, in chunks of 256 candidates: lists are sorted, so that codes of
neighbours are alike, and rows of fewer than 65,536 or a million people have few high bits. A plane of few distinct
values holds their numbers, and the values once. 1,000 candidates with up to 7 features never take more than MOST_BYTES:
where they would, the lowest bit of the widest codes is rounded away, and again until they fit.
Candidates are in the order of the night's pre-rank score, best first. A code c encodes low + c / 255 x (high - low);
c / 255 is the value relative to this viewer's other candidates.

Layouts 1 and 2, of earlier releases, have in place of the planes m x uint16 and m x uint8 of rows, m x uint8 of source
bits and F x m x uint8 of codes; they are read, and not written.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.kernels.packed_planes import pack_within, unpack_block
from models.version.packed_record import CHECKSUM_BYTES, RecordFormat

MAX_ROW = (1 << 24) - 1
MAX_CANDIDATES = (1 << 16) - 1
NARROWEST = 1e-30
MOST_BYTES = 8_144
"""of 1,000 candidates: with what a store adds to a value, within 8 KiB"""
_OF_NIGHT = RecordFormat("candidate block", 3, "BHI")
_OF_WORKER = RecordFormat("candidate block", 4, "BHIq")
_OF_NIGHT_BEFORE = RecordFormat("candidate block", 1, "BHI")
_OF_WORKER_BEFORE = RecordFormat("candidate block", 2, "BHIq")
_FORMATS = {form.layout: form for form in (_OF_NIGHT_BEFORE, _OF_WORKER_BEFORE, _OF_NIGHT, _OF_WORKER)}
_BYTES_PER_CANDIDATE = 4
_EXACT = 4
"""planes that are never rounded: sources and rows"""


@dataclass(frozen=True, slots=True)
class Block:
    """One viewer's candidates, best first.

    `viewer` is a row; `rows` (m,) uint32; `sources` (m,) uint8 of models.schema.candidate_sources.Source bits; `codes`
    (F, m) uint8; `low` and `high` (F,) float32, the range of each feature in the units of
    models.schema.pair_features.
    """

    viewer: int
    rows: NDArray[np.uint32]
    sources: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    made_at: int = 0
    """latest timestamp of the live record it was made from, microseconds; 0: the night's, from the version alone"""

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, count: int) -> "Block":
        """The `count` best candidates alone, on the same scales."""
        return replace(self, rows=self.rows[:count], sources=self.sources[:count], codes=self.codes[:, :count])

    @property
    def step(self) -> NDArray[np.float32]:
        """(F,) float32: the difference of two neighbouring codes."""
        return (self.high - self.low) / np.float32(255)

    def values(self) -> NDArray[np.float32]:
        """(F, m) float32, the pair features with the precision of the codes."""
        return self.codes * self.step[:, None] + self.low[:, None]

    def pack(self) -> bytes:
        """The record. Raises ValueError if rows or counts do not fit the layout or shapes disagree."""
        features, m = self.codes.shape
        if m > MAX_CANDIDATES or features > 255 or not 0 <= self.viewer <= MAX_ROW:
            raise ValueError(f"a block holds at most {MAX_CANDIDATES} candidates and rows up to {MAX_ROW}")
        if not (len(self.rows) == len(self.sources) == m and len(self.low) == len(self.high) == features):
            raise ValueError("the arrays of a block disagree in length")
        if m and int(self.rows.max()) > MAX_ROW:
            raise ValueError(f"a candidate's row is above {MAX_ROW}")
        form, made = (_OF_WORKER, (self.made_at,)) if self.made_at else (_OF_NIGHT, ())
        return form.seal(
            (features, m, self.viewer, *made),
            [
                self.low.astype("<f4", copy=False).tobytes(),
                self.high.astype("<f4", copy=False).tobytes(),
                _packed(self.codes, self.sources, self.rows, form.payload_start + 8 * features + CHECKSUM_BYTES),
            ],
        )

    @classmethod
    def unpack(cls, record: bytes, people: int = MAX_ROW + 1) -> "Block":
        """The block of a record, in a version with `people` users.

        Raises CorruptRecordError, also for a candidate row that is not below `people`: kernels index without checks.
        """
        form = _FORMATS.get(record[0], _OF_NIGHT) if record else _OF_NIGHT
        (layout, features, m, viewer, *made), end = form.open(record)
        start = form.payload_start
        at = start + 8 * features
        if layout in (_OF_NIGHT_BEFORE.layout, _OF_WORKER_BEFORE.layout):
            form.check_length(end, at + m * (_BYTES_PER_CANDIDATE + features))
            rows = np.frombuffer(record, "<u2", m, at).astype(np.uint32)
            rows |= np.frombuffer(record, np.uint8, m, at + 2 * m).astype(np.uint32) << np.uint32(16)
            sources = np.frombuffer(record, np.uint8, m, at + 3 * m)
            codes = np.frombuffer(record, np.uint8, features * m, at + 4 * m).reshape(features, m)
            largest = int(rows.max(initial=0))
        else:
            form.check_length(max(end, at), end)
            planes, rows = np.empty((features + _EXACT, m), np.uint8), np.empty(m, np.uint32)
            largest = unpack_block(np.frombuffer(record, np.uint8, end - at, at), planes, rows)
            if largest < 0:
                raise CorruptRecordError(f"the planes of row {viewer}'s candidate block do not end where they should")
            planes.setflags(write=False)  # as views of a record are: kernels are compiled for either
            codes, sources = planes[:features], planes[features]
        if largest >= people and m:
            raise CorruptRecordError(f"row {viewer}'s candidate block names row {largest} of {people} people")
        ranges = np.frombuffer(record, "<f4", 2 * features, start)
        return cls(
            viewer=viewer,
            rows=rows,
            sources=sources,
            codes=codes,
            low=ranges[:features],
            high=ranges[features:],
            made_at=made[0] if made else 0,
        )


def published_of(record: bytes) -> int:
    """The number of candidates that the header of a record says, which is not checked; 0 without a header."""
    return int.from_bytes(record[2:4], "little")


def _packed(codes: NDArray[np.uint8], sources: NDArray[np.uint8], rows: NDArray[np.uint32], beside: int) -> bytes:
    """The planes of a block's arrays; `beside` are the other bytes of the record."""
    features, m = codes.shape
    planes = np.empty((features + _EXACT, m), np.uint8)
    planes[:features], planes[features] = codes, sources
    for byte in range(3):
        planes[features + 1 + byte] = (rows >> np.uint32(8 * byte)) & np.uint32(0xFF)
    most = max(MOST_BYTES * m // 1000, MOST_BYTES) - beside
    return pack_within(planes, features, most).tobytes()


def quantise(viewer: int, rows: NDArray[np.uint32], sources: NDArray[np.uint8], values: NDArray[np.float32]) -> Block:
    """The block of (F, m) float32 feature values, each feature on 256 levels between its extremes in this block.

    A feature that varies by less than NARROWEST is constant: 255 over its width would not be a float32.
    """
    if values.shape[1] == 0:
        nothing = np.zeros(len(values), dtype=np.float32)
        return Block(viewer, rows, sources, values.astype(np.uint8), nothing, nothing)
    low, high = values.min(axis=1), values.max(axis=1)
    width = np.where(high - low > NARROWEST, high - low, np.float32(1))
    codes = np.rint((values - low[:, None]) * (np.float32(255) / width)[:, None])
    return Block(viewer, rows, sources, codes.astype(np.uint8), low, high)
