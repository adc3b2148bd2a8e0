"""Numbers that the store keeps in decimal digits: timestamps and cuts. One that does not read back is named by its key.

What writes them in the store takes one that does not read back for none, and so mends it.
"""

from collections.abc import Mapping

from models.errors import CorruptRecordError

_MOST_DIGITS = 16
"""of a timestamp in microseconds, until the year 2286"""


def read_decimal(value: bytes) -> int | None:
    """The number that these digits are; None if they are none, or more than a timestamp has."""
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None


def decimal(key: str, value: bytes | None) -> int:
    """The number under a key; 0 if there is none. Raises CorruptRecordError that names the key."""
    number = 0 if value is None else read_decimal(value)
    if number is None:
        raise CorruptRecordError(f"the number under {key} in the store does not read back; see pymk doctor --repair")
    return number


def damaged_among(values: Mapping[str, bytes | None]) -> list[str]:
    """The keys whose values are there and do not read back."""
    return [key for key, value in values.items() if value is not None and read_decimal(value) is None]
