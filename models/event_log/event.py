"""Events and the entries of the event log, one JSON object each.

An entry is in a stream of the store until the worker has archived it. No two entries have the same timestamp.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from models.errors import CorruptRecordError
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId

PROFILE = "profile"
"""the kind of an entry that changes profile columns"""
ERASE = "erase"
"""the kind of an entry that erases a person"""
CONTACTS = "contacts"
"""the kind of an entry that says that a person's contacts changed; it has none of them"""

_KINDS = {kind.word: kind for kind in EventKind}
_KNOWN = frozenset({*_KINDS, PROFILE, ERASE, CONTACTS})


@dataclass(frozen=True, slots=True)
class Event:
    """One valid event of a request; the two users differ."""

    kind: EventKind
    user_id: UserId
    other_id: UserId
    at: int | None = None
    """when it happened according to the client, microseconds since 1970 UTC"""
    event_id: str | None = None
    request_id: str | None = None
    context: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log."""

    kind: str
    """the word of an EventKind, PROFILE, ERASE or CONTACTS"""
    user_id: UserId
    timestamp_us: int
    """when it was acknowledged, microseconds"""
    other_id: UserId | None = None
    """of events alone"""
    at: int | None = None
    """when it happened according to the client, clamped, microseconds; of events alone"""
    event_id: str | None = None
    request_id: str | None = None
    context: str | None = None
    position: int | None = None
    columns: dict[str, Any] | None = None
    """of PROFILE alone: the columns of the PUT as received; None clears a column"""
    announced: list[str] | None = None
    """of PROFILE alone: the flags among the columns whose change is in the hidden log; None: all of them"""

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
        """The kind of event; None for profiles, contacts and erasures."""
        return _KINDS.get(self.kind)

    def names_any(self, upto: Mapping[str, int]) -> bool:
        """Whether the entry names one of these users and is not later than the timestamp of that user."""
        return any(self.timestamp_us <= upto.get(user_id, -1) for user_id in (self.user_id, self.other_id) if user_id)

    def encode(self) -> bytes:
        """The entry as one line of JSON without its end; fields that are None are left out."""
        written = {key: value for name, key in _FIELDS.items() if (value := getattr(self, name)) is not None}
        return orjson.dumps(written)

    @classmethod
    def decode(cls, line: bytes) -> "Entry":
        """The entry of a line. Fields that this release does not know are ignored.

        Raises CorruptRecordError if it is not an entry.
        """
        try:
            decoded = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorruptRecordError(f"an entry of the event log is not JSON: {error}") from error
        return cls.from_json(decoded)

    @classmethod
    def from_json(cls, decoded: Any) -> "Entry":
        """The entry in a decoded JSON value. Raises CorruptRecordError if it is not an entry."""
        if not isinstance(decoded, dict) or decoded.get("kind") not in _KNOWN:
            raise CorruptRecordError("an entry of the event log has no kind that this release knows")
        is_event = decoded["kind"] in _KINDS
        if not isinstance(decoded.get("user_id"), str) or not isinstance(decoded.get("stamp"), int):
            raise CorruptRecordError("an entry of the event log lacks its user or its timestamp")
        if is_event and not (isinstance(decoded.get("other_id"), str) and isinstance(decoded.get("at"), int)):
            raise CorruptRecordError("an event of the log lacks its other user or its time")
        if not all(isinstance(decoded.get(key), kind) for key, kind in _KINDS_OF_FIELDS.items()):
            raise CorruptRecordError("an entry of the event log has a field of another type than this release knows")
        return cls(**{name: decoded[key] for name, key in _FIELDS.items() if key in decoded})


_FIELDS = {field.name: field.name for field in fields(Entry)} | {"timestamp_us": "stamp", "announced": "told"}
"""by field of an entry, its key in the JSON of the log"""
_KINDS_OF_FIELDS = {"other_id": str | None, "columns": dict | None, "told": list | None}
"""by key, what the readers of the log rely on beyond what the kind of an entry asks for"""
