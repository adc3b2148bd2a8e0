"""An entry of the hidden log: the change of a user's flags, and its place in the log.

An entry that does not read back must never show anybody: the user whom it names counts as hidden until
`pymk doctor --repair` has put what the event log says in its place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from models.errors import CorruptRecordError
from models.schema.columns import ALL_FLAGS, Flag
from models.schema.vocabulary import UserId

LATEST_US = 1 << 53
"""later than every timestamp: the time of a change whose own cannot be trusted, microseconds"""
_USER = re.compile(rb'"user_id": ?("(?:[^"\\]|\\.)*")')
_FAULTS = (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class FlagChange:
    """The change of a user's flags by one acknowledged write."""

    user_id: UserId
    timestamp_us: int
    """microseconds"""
    flags: Mapping[Flag, bool] = field(default_factory=dict)
    """the changed flags and their values"""
    erased: bool = False
    """the user is hidden in versions whose cut is before the timestamp, whatever the flags are"""

    def encode(self) -> bytes:
        """The entry of the stream, before it has an epoch."""
        flags = {str(flag.name): value for flag, value in self.flags.items()}
        fields = {"user_id": self.user_id, "stamp": self.timestamp_us, "flags": flags, "erased": self.erased}
        return orjson.dumps(fields)

    @classmethod
    def decode(cls, entry: bytes) -> "FlagChange":
        """The change of an entry of the stream. Raises CorruptRecordError if it is none."""
        try:
            decoded = orjson.loads(entry)
            flags = {Flag[name]: bool(value) for name, value in decoded["flags"].items()}
            return cls(UserId(str(decoded["user_id"])), int(decoded["stamp"]), flags, bool(decoded["erased"]))
        except _FAULTS as error:
            raise CorruptRecordError(f"a change of flags cannot be read: {error!r}") from error

    @classmethod
    def presumed(cls, entry: bytes) -> "FlagChange | None":
        """The change that hides whom an entry names that does not read back; None if that cannot be read either.

        What says that the user may be shown is passed over; the user's own lists go on if the entry says nothing else.
        Bytes that are not JSON may have been altered anywhere, so that the user counts as erased, for every version.
        """
        decoded = _fields_of(entry)
        user_id, timestamp_us, flags = decoded.get("user_id"), decoded.get("stamp"), decoded.get("flags")
        if not isinstance(user_id, str) or not user_id:
            return None
        hidden = dict.fromkeys(ALL_FLAGS, False)
        if isinstance(flags, dict) and flags.get("ACTIVE", True) is True:
            del hidden[Flag.ACTIVE]
        if not isinstance(timestamp_us, int) or not 0 < timestamp_us < LATEST_US:
            timestamp_us = LATEST_US
        erased = decoded.get("erased") is not False
        return cls(UserId(user_id), timestamp_us, hidden, erased)


def read_change(entry: bytes) -> tuple[FlagChange | None, bool]:
    """The change of an entry of the stream, and whether the entry reads back; if it does not, the presumed change."""
    try:
        return FlagChange.decode(entry), True
    except CorruptRecordError:
        return FlagChange.presumed(entry), False


def _fields_of(entry: bytes) -> dict[str, Any]:
    """What an entry says; of bytes that are not JSON the user alone."""
    try:
        decoded = orjson.loads(entry)
        if isinstance(decoded, dict):
            return decoded
    except orjson.JSONDecodeError:
        pass
    found = _USER.search(entry)
    try:
        return {"user_id": orjson.loads(found[1])} if found else {}
    except orjson.JSONDecodeError:
        return {}


class Link(NamedTuple):
    """The place of a change in the hidden log."""

    epoch: bytes
    after: bytes
    """the epoch before; b"" for the first"""

    @classmethod
    def of(cls, entry: bytes) -> "Link | None":
        """The place that an entry of the stream names; None if it cannot be read.

        Earlier releases counted epochs as plain numbers.
        """
        try:
            decoded: dict[str, Any] = orjson.loads(entry)
            epoch = decoded["epoch"]
            if isinstance(epoch, int):
                return cls(b"%020d" % epoch, b"%020d" % (epoch - 1) if epoch > 1 else b"")
            return cls(epoch.encode(), str(decoded["after"]).encode())
        except _FAULTS:
            return None
