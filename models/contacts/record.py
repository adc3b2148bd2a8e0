"""The contacts of one user, packed: keyed hashes alone, in the order of their bytes, little-endian.

byte 0          layout version (1)
int64           when they were written, microseconds
int64           since when `tested` counts, microseconds
3 x uint32      tested; own addresses; contacts
bytes           own addresses, then contacts, models.contacts.address.KEPT_BYTES each
4 bytes         CRC-32 of all before
"""

from collections.abc import Iterable
from dataclasses import dataclass

from models.contacts.address import KEPT_BYTES
from models.errors import CorruptRecordError
from models.version.packed_record import RecordFormat

PREFIX_BYTES = 9
"""of a record: layout and time, which change whenever it is written"""
_FORMAT = RecordFormat("record of contacts", 1, "qqIII")


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """The contacts of one user."""

    timestamp_us: int = 0
    tested_since: int = 0
    """when the first of the `tested` addresses was uploaded, microseconds"""
    tested: int = 0
    """contacts and own addresses that were new in their upload, within a day"""
    own: frozenset[bytes] = frozenset()
    """the user's own addresses"""
    contacts: frozenset[bytes] = frozenset()
    """addresses in the user's address book"""

    def pack(self) -> bytes:
        """The record."""
        header = (self.timestamp_us, self.tested_since, self.tested, len(self.own), len(self.contacts))
        return _FORMAT.seal(header, [*sorted(self.own), *sorted(self.contacts)])

    @classmethod
    def unpack(cls, record: bytes | None) -> "ContactRecord":
        """The contacts of these bytes; none for None. Raises CorruptRecordError."""
        if record is None:
            return cls()
        (_, timestamp_us, since, tested, own, contacts), end = _FORMAT.open(record)
        start = _FORMAT.payload_start
        _FORMAT.check_length(end, start + (own + contacts) * KEPT_BYTES)
        split = start + own * KEPT_BYTES
        return cls(timestamp_us, since, tested, _parts(record[start:split]), _parts(record[split:end]))


def _parts(packed: bytes) -> frozenset[bytes]:
    return frozenset(packed[at : at + KEPT_BYTES] for at in range(0, len(packed), KEPT_BYTES))


def names(addresses: Iterable[bytes]) -> list[str]:
    """The addresses as the store's keys name them."""
    return [address.hex() for address in addresses]


def readable(record: bytes | None) -> ContactRecord:
    """The contacts of these bytes; none if they do not read back: then everything is matched anew."""
    try:
        return ContactRecord.unpack(record)
    except CorruptRecordError:
        return ContactRecord()
