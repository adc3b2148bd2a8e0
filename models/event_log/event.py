"""The event log: what was acknowledged, entry by entry, as JSON.

A shard's log is a stream of the store until the worker has archived it. Stamps rise from entry to entry of one
person, so that person and stamp name an entry for good.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from models.errors import CorruptRecordError
from models.schema.event_kinds import EventKind

PROFILE = "profile"
"""the kind of an entry that changes profile columns"""
ERASE = "erase"
"""the kind of an entry that erases a person"""

HASH_BYTES = 8
_KINDS = {kind.word: kind for kind in EventKind}
_KNOWN = frozenset({*_KINDS, PROFILE, ERASE})


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a request, checked: kinds exist, ids are ids, and the two people differ."""

    kind: EventKind
    user_id: str
    other_id: str
    at: int | None = None
    """what the client says, microseconds since 1970 UTC"""
    event_id: str | None = None
    request_id: str | None = None
    context: str | None = None
    position: int | None = None

    @property
    def hash(self) -> bytes | None:
        """HASH_BYTES that two events share where they are the same; None where nothing makes it the same as another.

        The same `event_id` of one viewer, or all of kind, viewer, other and `at` equal.
        """
        if self.event_id is not None:
            said = b"\x00" + self.event_id.encode()
        elif self.at is not None:
            other = self.other_id.encode()
            said = b"\x01" + struct.pack("<Bqi", self.kind, self.at, len(other)) + other
        else:
            return None
        return hashlib.blake2b(said + b"\xff" + self.user_id.encode(), digest_size=HASH_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log."""

    kind: str
    """the word of an EventKind, PROFILE or ERASE"""
    user_id: str
    timestamp_us: int
    """when it was acknowledged, microseconds"""
    other_id: str | None = None
    """of events alone"""
    at: int | None = None
    """when the client says it happened, clamped, microseconds; of events alone"""
    event_id: str | None = None
    request_id: str | None = None
    context: str | None = None
    position: int | None = None
    columns: dict[str, Any] | None = None
    """of PROFILE alone: the columns that were put, as they came; None clears one"""
    told: list[str] | None = None
    """of PROFILE alone: those of the columns that are flags which everybody is told of; None: all flags among them"""

    @classmethod
    def of(cls, event: Event, timestamp_us: int, at: int) -> "Entry":
        """The entry of an event that was acknowledged at `timestamp_us`; `at` is clamped."""
        return cls(
            kind=event.kind.word,
            user_id=event.user_id,
            timestamp_us=timestamp_us,
            other_id=event.other_id,
            at=at,
            event_id=event.event_id,
            request_id=event.request_id,
            context=event.context,
            position=event.position,
        )

    @property
    def event_kind(self) -> EventKind | None:
        """The kind of event; None for profiles and erasures."""
        return _KINDS.get(self.kind)

    def names_any(self, upto: Mapping[str, int]) -> bool:
        """Whether the entry is of one of these people, or names one, and is not later than the stamp given for them."""
        return any(one in upto and self.timestamp_us <= upto[one] for one in (self.user_id, self.other_id) if one)

    def encode(self) -> bytes:
        """One line of JSON without its end; what is None is left out."""
        said = {written: value for name, written in _FIELDS.items() if (value := getattr(self, name)) is not None}
        return orjson.dumps(said)

    @classmethod
    def decode(cls, line: bytes) -> "Entry":
        """The entry of a line. Fields that this release does not know are passed over.

        Raises CorruptRecordError where it is none.
        """
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorruptRecordError(f"an entry of the event log is no JSON: {error}") from error
        return cls.from_json(said)

    @classmethod
    def from_json(cls, said: Any) -> "Entry":
        """The entry that a JSON value stands for. Raises CorruptRecordError where it stands for none."""
        if not isinstance(said, dict) or said.get("kind") not in _KNOWN:
            raise CorruptRecordError("an entry of the event log has no kind that this release knows")
        event = said["kind"] in _KINDS
        if not isinstance(said.get("user_id"), str) or not isinstance(said.get("stamp"), int):
            raise CorruptRecordError("an entry of the event log says neither whose it is nor when it was acknowledged")
        if event and not (isinstance(said.get("other_id"), str) and isinstance(said.get("at"), int)):
            raise CorruptRecordError("an event of the log does not say towards whom and when")
        return cls(**{name: said[written] for name, written in _FIELDS.items() if written in said})


_FIELDS = {field.name: field.name for field in fields(Entry)} | {"timestamp_us": "stamp"}
"""by field of an entry, its name in the JSON of the log"""
