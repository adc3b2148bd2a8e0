"""What a profile column may be given over HTTP, by its kind, and how it is kept."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from models.errors import UsageError
from models.schema.columns import (
    CONTROL_CHARACTERS,
    CREATED_AT_COLUMN,
    FLAG_COLUMNS,
    NAME_COLUMN,
    Kind,
)

LONGEST_VALUE = 1_000
"""characters of a name, a category, or a member of a set"""
LONGEST_TEXT = 10_000
"""characters of a free text"""
MOST_MEMBERS = 1_000
"""members of a set"""
LARGEST_NUMBER = 1e15
"""what a number is no further from zero than: beyond it neighbouring whole numbers are no longer told apart"""

_CONTROL = re.compile(CONTROL_CHARACTERS)
_LINES = str.maketrans("", "", "\t\n\r")
_PLACE = re.compile(r"\s*([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*,\s*([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*", re.ASCII)
_SECONDS = re.compile(r"\s*[+-]?\d{1,15}(?:\.\d*)?\s*", re.ASCII)


class ProfileFaultError(UsageError):
    """Columns that cannot be put; `faults` says of each, by its name, what is allowed."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{column}: {fault}" for column, fault in faults.items()))
        self.faults = dict(faults)


def checked_columns(said: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The columns as they are kept: sets sorted, places `"lat,lon"`, moments ISO 8601 in UTC; None clears one.

    `kinds` are the columns of the version that are features (Tables.column_kinds); the columns with a meaning of their
    own are known beside them. An empty set clears too. Raises ProfileFaultError that names every unknown column, every
    value of another kind, and every one that is empty, too long or too large, or has control characters.
    """
    own = dict.fromkeys(FLAG_COLUMNS, _truth) | {NAME_COLUMN: _value, CREATED_AT_COLUMN: _moment}
    known = {column: _READERS[kind] for column, kind in kinds.items() if kind in _READERS} | own
    kept: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for column, value in said.items():
        reader = known.get(column)
        if reader is None:
            faults[column] = f"is no column of the version that is served; those are {', '.join(sorted(known))}"
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
    """Free text, which may have lines and tabs."""
    if not isinstance(value, str):
        raise ValueError("must be a string or null")
    return _checked(value, value.translate(_LINES), LONGEST_TEXT)


def _checked(value: str, line: str, longest: int) -> str:
    """The value, where it is not empty nor too long and `line` has no control character."""
    if not value:
        raise ValueError("is empty; null clears a column")
    if len(value) > longest:
        raise ValueError(f"has {len(value)} characters; at most {longest} are taken")
    if _CONTROL.search(line):
        raise ValueError("contains a control character")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true, false or null")
    return value


def _number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("must be a finite number or null")
    if abs(value) > LARGEST_NUMBER:
        raise ValueError(f"must lie between -{LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}")
    return value


def _members(value: Any) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of strings or null")
    if len(value) > MOST_MEMBERS:
        raise ValueError(f"has {len(value)} members; at most {MOST_MEMBERS} are taken")
    return sorted({_value(one) for one in value}) or None


def _place(value: Any) -> str:
    found = _PLACE.fullmatch(value) if isinstance(value, str) else None
    if found:
        latitude, longitude = float(found[1]), float(found[2])
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            return f"{latitude},{longitude}"
    raise ValueError('must be "lat,lon" in degrees or null')


def _moment(value: Any) -> str:
    """The moment, to the second before it; without an offset it is UTC."""
    fault = "must be a timestamp (ISO 8601 or epoch seconds) of the years 1 to 9999, or null"
    try:
        if isinstance(value, str) and not _SECONDS.fullmatch(value):
            read = dt.datetime.fromisoformat(value.strip())
            moment = read.astimezone(dt.UTC) if read.tzinfo else read.replace(tzinfo=dt.UTC)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=math.floor(float(value)))
        else:
            raise ValueError(fault)
    except (ValueError, OverflowError) as error:
        raise ValueError(fault) from error
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.CATEGORICAL: _value,
    Kind.MULTI: _members,
    Kind.NUMERIC: _number,
    Kind.TEXT: _text,
    Kind.LOCATION: _place,
    Kind.TIMESTAMP: _moment,
}
