"""How a moment is written in a JSON body: one reading for events and profiles."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from models.system.clock import MICROSECONDS

LAST_SECOND = 253_402_300_799
"""the end of the year 9999, epoch seconds"""
FORMS = "ISO 8601 or epoch seconds"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d*)?", re.ASCII)
_BASIC_DATE = re.compile(r"\d{8}(?:\d{4}(?:\d\d)?)?", re.ASCII)
_ISO = re.compile(r"[0-9W-]{8,10}(?:[Tt ][0-9:.,]{2,}(?:[Zz]|[+-][0-9:.]{2,})?)?", re.ASCII)
"""a date, and a time behind T or a space: `fromisoformat` takes any letter there"""


class TimestampFaultError(ValueError):
    """A value that is no timestamp; the message says what is allowed."""


def timestamp_us(value: Any) -> int:
    """Microseconds since 1970 UTC of a JSON value: a string of ISO 8601, or epoch seconds, also as a string.

    A string without an offset is in UTC. Raises TimestampFaultError for anything else. Refused rather than guessed are
    a number beyond the year 9999, such as epoch milliseconds, and a string of 8, 12 or 14 digits, which may be a date.
    """
    if isinstance(value, str):
        text = value.strip()
        if text[4:5] == "-":
            return _of_iso(text)
        if _BASIC_DATE.fullmatch(text):
            raise TimestampFaultError(f"{text} may be a date or a number; write dates like 2026-11-21")
        if _NUMBER.fullmatch(text):
            return _of_number(float(text) if "." in text else int(text))
        return _of_iso(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TimestampFaultError(f"must be {FORMS}")
    return _of_number(value)


def _of_number(value: float) -> int:
    if not abs(value) <= LAST_SECOND:  # nor NaN
        raise TimestampFaultError(
            f"must be {FORMS}; this number of seconds is beyond the year 9999: divide milliseconds by 1000"
        )
    return value * MICROSECONDS if isinstance(value, int) else round(value * MICROSECONDS)


def _of_iso(text: str) -> int:
    if not _ISO.fullmatch(text):
        raise TimestampFaultError(f"must be {FORMS}")
    try:
        moment = datetime.fromisoformat(text.upper())
        since = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise TimestampFaultError(f"must be {FORMS}") from error
    return since // timedelta(microseconds=1)
