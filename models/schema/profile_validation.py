"""Validates profile columns sent over HTTP, by kind, and converts them to their stored form."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from models.errors import UsageError
from models.schema.columns import CONTROL_CHARACTERS, CREATED_AT_COLUMN, FLAG_COLUMNS, NAME_COLUMN, Kind
from models.schema.timestamps import FORMS, timestamp_us
from models.system.clock import MICROSECONDS

LONGEST_VALUE = 1_000
"""characters of a name, a category, or a value of a set"""
LONGEST_TEXT = 10_000
"""characters of a free text"""
MOST_MEMBERS = 1_000
"""values of a set"""
LARGEST_NUMBER = 1e15
"""largest absolute value of a number: above, float64 no longer holds every whole number"""

_CONTROL = re.compile(CONTROL_CHARACTERS)
_NO_LOCATION = 'must be "lat,lon" in degrees or null'
_LINES = str.maketrans("", "", "\t\n\r")
_DEGREES = r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)"
_LOCATION = re.compile(rf"\s*(\[)?\s*{_DEGREES}\s*,\s*{_DEGREES}\s*(?(1)\])\s*", re.ASCII)
_POINT = re.compile(rf"\s*POINT\s*\(\s*{_DEGREES}\s+{_DEGREES}\s*\)\s*", re.ASCII | re.IGNORECASE)
"""well-known text, longitude first"""


class ProfileFaultError(UsageError):
    """Invalid columns; `faults` has what each, by name, allows."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{column}: {fault}" for column, fault in faults.items()))
        self.faults = dict(faults)


def checked_columns(columns: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The columns in stored form: sets sorted, locations `"lat,lon"`, timestamps ISO 8601 in UTC; None clears one.

    `kinds` are the feature columns of the version (Tables.column_kinds); the built-in columns are always known. An
    empty set clears too. Raises ProfileFaultError that lists every unknown column, every value of another kind, and
    every one that is empty, too long or too large, or has control characters.
    """
    own = dict.fromkeys(FLAG_COLUMNS, _boolean) | {NAME_COLUMN: _value, CREATED_AT_COLUMN: _timestamp}
    known = {column: _READERS[kind] for column, kind in kinds.items() if kind in _READERS} | own
    kept: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for column, value in columns.items():
        reader = known.get(column)
        if reader is None:
            faults[column] = f"is not a column of the active version; its columns are {', '.join(sorted(known))}"
            continue
        try:
            kept[column] = None if value is None else reader(value)
        except (ValueError, OverflowError) as fault:
            faults[column] = str(fault)
    if faults:
        raise ProfileFaultError(faults)
    return kept


def _value(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string or null")  # one kind of fault
    return _checked(value, value, LONGEST_VALUE)


def _text(value: Any) -> str:
    """Free text, with line breaks and tabs allowed."""
    if not isinstance(value, str):
        raise ValueError("must be a string or null")
    return _checked(value, value.translate(_LINES), LONGEST_TEXT)


def _checked(value: str, line: str, longest: int) -> str:
    """The value. Raises ValueError if it is empty or too long, or `line` has a control character."""
    if not value:
        raise ValueError("is empty; null clears a column")
    if len(value) > longest:
        raise ValueError(f"has {len(value)} characters; at most {longest} are allowed")
    if _CONTROL.search(line):
        raise ValueError("contains a control character")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true, false or null")
    return value


def _number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("must be a finite number or null")
    if abs(value) > LARGEST_NUMBER:
        raise ValueError(f"must lie between -{LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}")
    return value


def _set(value: Any) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of strings or null")
    if len(value) > MOST_MEMBERS:
        raise ValueError(f"has {len(value)} values; at most {MOST_MEMBERS} are allowed")
    return sorted({_value(one) for one in value}) or None


def _location(value: Any) -> str:
    """`lat,lon` of a text, of the list [lat, lon], or of the point (lon lat) of well-known text."""
    if isinstance(value, list) and len(value) == 2 and all(type(one) in (int, float) for one in value):
        return _place(*value)
    found = _LOCATION.fullmatch(value) if isinstance(value, str) else None
    if found:
        return _place(float(found[2]), float(found[3]))
    point = _POINT.fullmatch(value) if isinstance(value, str) else None
    if point:
        return _place(float(point[2]), float(point[1]))
    raise ValueError(_NO_LOCATION)


def _place(latitude: float, longitude: float) -> str:
    if abs(latitude) <= 90 and abs(longitude) <= 180:
        return f"{float(latitude)},{float(longitude)}"
    raise ValueError(_NO_LOCATION)


def _timestamp(value: Any) -> str:
    """The timestamp, rounded down to the second, in UTC."""
    try:
        timestamp = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=timestamp_us(value) // MICROSECONDS)
    except OverflowError as error:
        raise ValueError(f"must be {FORMS}, of the years 1 to 9999, or null") from error
    return timestamp.isoformat() + "Z"


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.CATEGORICAL: _value,
    Kind.MULTI: _set,
    Kind.NUMERIC: _number,
    Kind.TEXT: _text,
    Kind.LOCATION: _location,
    Kind.TIMESTAMP: _timestamp,
}
