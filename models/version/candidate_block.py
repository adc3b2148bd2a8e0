"""The candidate block: all that the service needs of one viewer's candidates, in one packed little-endian record.

    byte 0          layout version: 1 by night, 2 by the worker
    byte 1          number of pair features F
    bytes 2-3       number of candidates m, uint16
    bytes 4-7       row of the viewer, uint32
    8 bytes         layout 2 alone: latest timestamp of the live record it was made from, int64, microseconds
    F x float32     lowest value of each feature in this block
    F x float32     highest value of each feature in this block
    m x uint16      candidate rows, low 16 bits
    m x uint8       candidate rows, high 8 bits
    m x uint8       source bits
    F x m x uint8   feature codes, feature by feature
    4 bytes         CRC-32 of all before

1,000 candidates with 6 features take 10,060 bytes, within the allocator's 10 KiB class. Candidates are in the order
of the night's pre-rank score, best first. A code c encodes low + c / 255 x (high - low); c / 255 is the value relative
to this viewer's other candidates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.version.packed_record import RecordFormat

MAX_ROW = (1 << 24) - 1
MAX_CANDIDATES = (1 << 16) - 1
NARROWEST = 1e-30
_OF_NIGHT = RecordFormat("candidate block", 1, "BHI")
_OF_WORKER = RecordFormat("candidate block", 2, "BHIq")
_BYTES_PER_CANDIDATE = 4


@dataclass(frozen=True, slots=True)
class Block:
    """One viewer's candidates, best first.

    `viewer` is a row; `rows` (m,) uint32; `sources` (m,) uint8 of models.schema.candidate_sources.Source bits; `codes`
    (F, m) uint8, a view of the record; `low` and `high` (F,) float32, the range of each feature in the units of
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
        rows = self.rows.astype("<u4", copy=False)
        form, made = (_OF_WORKER, (self.made_at,)) if self.made_at else (_OF_NIGHT, ())
        return form.seal(
            (features, m, self.viewer, *made),
            [
                self.low.astype("<f4", copy=False).tobytes(),
                self.high.astype("<f4", copy=False).tobytes(),
                (rows & 0xFFFF).astype("<u2").tobytes(),
                (rows >> 16).astype(np.uint8).tobytes(),
                self.sources.astype(np.uint8, copy=False).tobytes(),
                np.ascontiguousarray(self.codes, dtype=np.uint8).tobytes(),
            ],
        )

    @classmethod
    def unpack(cls, record: bytes, people: int = MAX_ROW + 1) -> "Block":
        """The block of a record, in a version with `people` users; arrays are views of it except `rows`.

        Raises CorruptRecordError, also for a candidate row that is not below `people`: kernels index without checks.
        """
        form = _OF_WORKER if record[:1] == b"\x02" else _OF_NIGHT
        (_, features, m, viewer, *made), end = form.open(record)
        at = form.payload_start + 8 * features
        form.check_length(end, at + m * (_BYTES_PER_CANDIDATE + features))
        ranges = np.frombuffer(record, "<f4", 2 * features, form.payload_start)
        rows = np.frombuffer(record, "<u2", m, at).astype(np.uint32)
        rows |= np.frombuffer(record, np.uint8, m, at + 2 * m).astype(np.uint32) << np.uint32(16)
        if rows.max(initial=0) >= people and m:
            raise CorruptRecordError(f"row {viewer}'s candidate block names row {rows.max()} of {people} people")
        return cls(
            viewer=viewer,
            rows=rows,
            sources=np.frombuffer(record, np.uint8, m, at + 3 * m),
            codes=np.frombuffer(record, np.uint8, features * m, at + 4 * m).reshape(features, m),
            low=ranges[:features],
            high=ranges[features:],
            made_at=made[0] if made else 0,
        )


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
