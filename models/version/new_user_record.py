"""The new user's record: what ranking needs of a viewer whom a version's tables do not have, in one packed record.

    byte 0          layout version (2)
    byte 1          0
    2 x uint16      statistics s, dimensions of the towers d
    2 bytes         0
    4 x uint32      categorical columns C, codes of sets c, friends f, bytes of the candidate block b
    int64           latest timestamp of the live record it was made from, microseconds
    s x float32     statistics            as a row of the tables of the same name
    d x float32     query                 of models.version.towers
    C x int32       categorical codes
    c x int32       codes of sets, ascending
    f x int32       rows of friends, ascending
    b bytes         candidate block (models.version.candidate_block), its viewer is OUTSIDE
    4 bytes         CRC-32 of all before

Little-endian. A record belongs to one version, like a block.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.version.candidate_block import MAX_ROW, Block
from models.version.packed_record import RecordFormat
from models.version.tables import Tables
from models.version.value_codes import MISSING

OUTSIDE = MAX_ROW
"""the viewer's row in a new user's block"""

_FORMAT = RecordFormat("new user's record", 2, "xHHxxIIIIq")


@dataclass(frozen=True, slots=True)
class ProfileCodes:
    """A profile in the codes of a version's tables; values that the version does not have are missing."""

    categorical: NDArray[np.int32]
    """(C,) int32, -1 if missing"""
    sets: NDArray[np.int32]
    """(c,) int32 into Tables.multi_values, ascending"""

    @classmethod
    def of(cls, profile: Mapping[str, Any], tables: Tables) -> "ProfileCodes":
        """The codes of a profile as received: values as strings, sets as lists of strings."""
        nothing = np.zeros(0, dtype=np.int32)
        return cls(np.full(len(tables.categorical_columns), MISSING, dtype=np.int32), nothing).changed(profile, tables)

    def changed(self, columns: Mapping[str, Any], tables: Tables) -> "ProfileCodes":
        """The codes after some columns changed; None clears a column. The cost follows the values that are given."""
        known, codes, sets = tables.value_codes, self.categorical.copy(), self.sets
        added: list[int] = []
        for column, value in columns.items():
            at = known.places.get(column)
            if at is not None:
                codes[at] = MISSING if value is None else known.categorical[at].code(str(value))
            of_set = known.sets.get(column)
            if of_set is not None:
                sets = sets[(sets < of_set.start) | (sets >= of_set.end)]
                added += of_set.codes(_strings(value))
        if added:
            sets = np.unique(np.concatenate([sets, np.array(added, dtype=np.int32)]))
        return ProfileCodes(codes, sets)


def codes_of(viewer: int | ProfileCodes, tables: Tables) -> ProfileCodes:
    """The codes of a row's profile; given codes, the same codes."""
    if isinstance(viewer, ProfileCodes):
        return viewer
    sets = tables.multi_codes[tables.multi_indptr[viewer] : tables.multi_indptr[viewer + 1]]
    return ProfileCodes(tables.categorical_codes[viewer], sets)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What a version has of one user outside its tables."""

    timestamp_us: int
    """latest timestamp of the live record it was made from, microseconds"""
    statistics: NDArray[np.float32]
    """(s,) float32, as a row of Tables.statistics"""
    query: NDArray[np.float32]
    """(d,) float32, of the towers"""
    codes: ProfileCodes
    friends: NDArray[np.int32]
    """(f,) int32 rows, ascending"""
    block: Block

    def pack(self) -> bytes:
        """The record."""
        block = Block(OUTSIDE, self.block.rows, self.block.sources, self.block.codes, self.block.low, self.block.high)
        packed = block.pack()
        parts = [
            self.statistics.astype("<f4"),
            self.query.astype("<f4"),
            self.codes.categorical.astype("<i4"),
            self.codes.sets.astype("<i4"),
            self.friends.astype("<i4"),
        ]
        header = (*(len(part) for part in parts), len(packed), self.timestamp_us)
        return _FORMAT.seal(header, [*(part.tobytes() for part in parts), packed])

    @classmethod
    def unpack(cls, record: bytes, people: int = MAX_ROW + 1) -> "Newcomer":
        """The new user of a record, in a version with `people` users. Raises CorruptRecordError like Block.unpack."""
        (_, *lengths, size, timestamp_us), end = _FORMAT.open(record)
        dtypes = [np.dtype(name) for name in ("<f4", "<f4", "<i4", "<i4", "<i4")]
        sizes = [dtype.itemsize * length for dtype, length in zip(dtypes, lengths, strict=True)]
        starts = np.cumsum([_FORMAT.payload_start, *sizes, size])
        _FORMAT.check_length(end, int(starts[-1]))
        parts = [
            np.frombuffer(record, dtype, length, int(start))
            for dtype, length, start in zip(dtypes, lengths, starts, strict=False)
        ]
        block = Block.unpack(record[int(starts[-2]) : end], people)
        return cls(timestamp_us, parts[0], parts[1], ProfileCodes(parts[2], parts[3]), parts[4], block)


def _strings(value: Any) -> list[str]:
    return [str(member) for member in value] if isinstance(value, list) else []
