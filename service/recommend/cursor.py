"""Where the next page of a list begins: who was shown on the pages before, and down to which score.

A cursor is base64url without padding of a packed record:

    byte 0          layout version (1)
    3 x uint32      CRC-32 of viewer and context, CRC-32 of the version, bits of the lowest score (float32)
    k x uint32      hashes of the ids of those shown, rising
    4 bytes         CRC-32 of all before

Little-endian. It names people by a hash that is the same in every version, so that it outlives versions, candidate
blocks and cached lists: a page leaves out whoever was shown, from whatever the list is made of then. It is not signed,
since a forged one can only leave people out of a list of its own viewer.
"""

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.version.packed_record import RecordFormat

MOST_SHOWN = 1000
"""people that can be paged through, about as many as a candidate block holds"""

_FORMAT = RecordFormat("cursor", 1, "III")
LONGEST = -(-(_FORMAT.payload_start + 4 * MOST_SHOWN + 4) * 4 // 3)
"""characters of a cursor at most"""

NO_ONE = 0
"""the owner of a cursor that names no page yet"""

_HIGHEST = np.float32(1)


@dataclass(frozen=True, slots=True, eq=False)
class Cursor:
    """The pages before one page; those of the first page are none."""

    owner: int
    """of viewer and context, as `owner_of` says"""
    shown: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, dtype=np.uint32))
    """(k,) hashes of the ids of those shown (service.ranking.tie_break.id_hashes), rising"""
    version: int = 0
    """CRC-32 of the version of the page before"""
    lowest: np.float32 = _HIGHEST
    """lowest score on the page before"""

    def ceiling(self, version: str) -> np.float32:
        """The score that no one on a page of a version exceeds: of another version the scores begin anew."""
        return self.lowest if self.version == zlib.crc32(version.encode()) else _HIGHEST

    def after(self, version: str, shown: NDArray[np.uint32], lowest: np.float32) -> "Cursor | None":
        """The cursor after a page of a version with people of these hashes; None if no more can be paged through."""
        every = np.union1d(self.shown, shown).astype(np.uint32)
        if len(every) >= MOST_SHOWN:
            return None
        return Cursor(self.owner, every, zlib.crc32(version.encode()), lowest)

    def pack(self) -> str:
        """The cursor as answers show it."""
        header = (self.owner, self.version, int(self.lowest.view(np.uint32)))
        sealed = _FORMAT.seal(header, [self.shown.astype("<u4").tobytes()])
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    @classmethod
    def unpack(cls, text: str) -> "Cursor":
        """The cursor that was packed so. Raises CorruptRecordError if it is none."""
        try:
            record = urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= LONGEST else b""
        except (binascii.Error, ValueError) as error:
            raise CorruptRecordError(f"a cursor is no base64url: {error}") from error
        (_, owner, version, lowest), end = _FORMAT.open(record)
        size = end - _FORMAT.payload_start
        _FORMAT.check_length(end, _FORMAT.payload_start + size // 4 * 4)
        shown = np.frombuffer(record, "<u4", size // 4, _FORMAT.payload_start).astype(np.uint32)
        return cls(owner, shown, version, np.uint32(lowest).view(np.float32))


def owner_of(user_id: str, context: str) -> int:
    """The number of a viewer in a context: a cursor of others is refused."""
    return zlib.crc32(context.encode(), zlib.crc32(user_id.encode() + b"\0")) or 1
