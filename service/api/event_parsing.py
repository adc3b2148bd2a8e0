"""The body of POST /pymk/events: JSON into events, or all its faults, entry by entry."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from models.event_log.event import Event
from models.schema.columns import CONTROL_CHARACTERS, USER_ID_BYTES, user_id_fault
from models.schema.event_kinds import EventKind
from models.schema.timestamps import TimestampFaultError, timestamp_us
from service.web.problems import ProblemError, invalid, invalid_all

MOST = 10_000
"""events of one request"""
MOST_FAULTS = 20
"""faults that one answer names at most"""
_MOST_POSITION = 1_000_000
_CONTEXT = re.compile(r"[a-z0-9_-]{1,32}")
_CONTROL = re.compile(CONTROL_CHARACTERS)
_KINDS = {kind.word: kind for kind in EventKind}


class _FaultError(Exception):
    """A fault of one field."""


def entries_of(body: Any) -> Sequence[Any]:
    """The entries of a parsed body. Raises ProblemError 422 if it is not a list, or is too long."""
    if not isinstance(body, list):
        raise invalid("", "the body must be a list of events", "body")
    if len(body) > MOST:
        raise invalid(str(MOST), f"the list has {len(body)} events; at most {MOST} are accepted at once", "body")
    return body


class EventReader:
    """Parses the entries of one body in their order and collects their faults."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._faults: list[tuple[str, str, str]] = []
        self._wrong = 0
        self._read = 0

    def read(self, entries: Sequence[Any]) -> None:
        """Parses the next entries."""
        for entry in entries:
            event, faults = _event(entry)
            if event is not None:
                self.events.append(event)
            else:
                self._wrong += 1
                room = MOST_FAULTS - len(self._faults)
                self._faults += [(_name(self._read, field), "body", detail) for field, detail in faults][:room]
            self._read += 1

    def problem(self) -> ProblemError | None:
        """422 that names entries, by their place from 0, and fields; None if there are no faults."""
        return invalid_all(self._faults) if self._wrong else None


def _name(index: int, field: str) -> str:
    return f"{index}.{field}" if field else str(index)


def _event(entry: Any) -> tuple[Event | None, list[tuple[str, str]]]:
    """The event of an entry; or None, and (field, fault) of each fault."""
    if not isinstance(entry, dict):
        return None, [("", "must be an object")]
    fields: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for field, check in _CHECKS:
        try:
            fields[field] = check(entry.get(field))
        except _FaultError as fault:
            faults.append((field, str(fault)))
    if not faults and fields["user_id"] == fields["other_id"]:
        faults.append(("other_id", "must be another user than user_id"))
    return (None, faults) if faults else (Event(**fields), faults)


def _kind(value: Any) -> EventKind:
    kind = _KINDS.get(value) if isinstance(value, str) else None
    if kind is None:
        raise _FaultError(f"must be one of {', '.join(_KINDS)}")
    return kind


def _user_id(value: Any) -> str:
    if not isinstance(value, str):
        raise _FaultError("is missing" if value is None else "must be a string")
    if fault := user_id_fault(value):
        raise _FaultError(fault)
    return value


def _at(value: Any) -> int | None:
    """Microseconds since 1970 UTC."""
    if value is None:
        return None
    try:
        return timestamp_us(value)
    except TimestampFaultError as fault:
        raise _FaultError(str(fault)) from fault


def _label(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _FaultError("must be a string")
    if not value or _CONTROL.search(value):
        raise _FaultError(f"must be 1-{USER_ID_BYTES} bytes without control characters")
    try:
        length = len(value.encode())
    except UnicodeEncodeError as error:
        raise _FaultError("is not valid Unicode") from error
    if length > USER_ID_BYTES:
        raise _FaultError(f"has {length} bytes; at most {USER_ID_BYTES} are allowed")
    return value


def _context(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _CONTEXT.fullmatch(value)):
        raise _FaultError("must be 1-32 of a-z, 0-9, _ and -")
    return value


def _position(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_POSITION:
        raise _FaultError(f"must be a whole number from 1 to {_MOST_POSITION}")
    return value


_ID = {"type": "string", "minLength": 1, "maxLength": USER_ID_BYTES}
_LABEL = {"type": ["string", "null"], "minLength": 1, "maxLength": USER_ID_BYTES}
_FIELDS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "kind": (_kind, {"type": "string", "enum": list(_KINDS)}),
    "user_id": (_user_id, {**_ID, "description": "Who did it."}),
    "other_id": (_user_id, {**_ID, "description": "Whom it was done to; another person."}),
    "at": (
        _at,
        {
            "type": ["string", "number", "null"],
            "description": "When it happened: ISO 8601 (UTC if it has no offset) or epoch seconds, milliseconds or "
            "microseconds. What lies in the future or more than 30 days back counts as now or as 30 days back.",
        },
    ),
    "event_id": (_label, _LABEL),
    "request_id": (_label, _LABEL),
    "context": (_context, {"type": ["string", "null"], "pattern": f"^{_CONTEXT.pattern}$"}),
    "position": (_position, {"type": ["integer", "null"], "minimum": 1, "maximum": _MOST_POSITION}),
}
"""by field of an entry, its check and the JSON Schema of its values; fields of other names are ignored"""

_CHECKS = tuple((field, check) for field, (check, _) in _FIELDS.items())

SCHEMA: dict[str, Any] = {
    "type": "array",
    "maxItems": MOST,
    "items": {
        "type": "object",
        "required": [field for field, (_, schema) in _FIELDS.items() if schema["type"] == "string"],
        "properties": {field: schema for field, (_, schema) in _FIELDS.items()},
    },
    "example": [{"kind": "dismiss", "user_id": "alice", "other_id": "bob", "event_id": "5f2c"}],
}
"""JSON Schema of the body"""


def slices(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The entries, `size` at a time."""
    for begin in range(0, len(entries), size):
        yield entries[begin : begin + size]
