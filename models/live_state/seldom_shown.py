"""Who was hardly ever shown within a day, over all viewers, by the rows of one vocabulary, in one packed record.

    byte 0          layout version (1)
    uint32          number of users n
    32 bytes        SHA-256 of the vocabulary
    bytes           n bits, the first in the highest place of the first byte: 1 if the user was hardly shown; deflated
    4 bytes         CRC-32 of all before

Little-endian. The worker counts and writes it under Keys.seldom_shown if exploration favours these users. It expires.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptRecordError
from models.version.packed_record import RecordFormat

_FORMAT = RecordFormat("table of people hardly shown", 1, "I")
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class SeldomShown:
    """The users of one vocabulary who were hardly shown."""

    vocabulary: str = ""
    """digest of the vocabulary; "" for no table"""
    rows: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    """(n,)"""

    def pack(self) -> bytes:
        """The record."""
        bits = zlib.compress(np.packbits(self.rows).tobytes(), 1)
        return _FORMAT.seal((len(self.rows),), [bytes.fromhex(self.vocabulary), bits])

    @classmethod
    def unpack(cls, packed: bytes | None) -> "SeldomShown":
        """The table of a record; an empty one for None. Raises CorruptRecordError."""
        if packed is None:
            return cls()
        (_, n), end = _FORMAT.open(packed)
        at = _FORMAT.payload_start + _DIGEST_BYTES
        try:
            bits = np.frombuffer(zlib.decompress(packed[at:end]), np.uint8)
        except zlib.error as error:
            raise CorruptRecordError(f"a table of people hardly shown cannot be unpacked: {error}") from error
        if len(bits) != -(-n // 8):
            raise CorruptRecordError(f"a table of {n} people hardly shown has {len(bits)} bytes of bits")
        digest = packed[_FORMAT.payload_start : at].hex()
        return cls(digest, np.unpackbits(bits, count=n).astype(np.bool_))
