"""How a timestamp is written, in files and in JSON bodies: the one specification of what is read and what is refused.

Dates and times, without an offset in UTC:

- ISO 8601, extended or basic: `2024-01-31`, `2024-01-31 10:15Z`, `20240131T101500+0100`, `2024-W05-3`; the offset may
  also be `UTC` or `GMT`, and a zone in brackets may follow it. `2024-01` is the start of the month.
- RFC 5322 and HTTP: `Wed, 31 Jan 2024 10:15:00 +0000`; ctime: `Wed Jan 31 10:15:00 2024`, with or without a zone before
  the year.

Numbers, also as text, are seconds since 1970, or milliseconds, microseconds or nanoseconds, whichever lies between
1973 and 2286. Eight digits are a date and fourteen a date and time, of the years 1800 to 2199. Refused rather than
guessed is a number that may be a year, a month, a date, or a time in either of two units.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from models.system.clock import MICROSECONDS

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""the years 1 to 9999, epoch seconds"""
FIRST_YEAR, LAST_YEAR = "1800", "2199"
"""the years of a date that is written in digits alone"""
FORMS = "ISO 8601 or epoch seconds"

_LONGEST_TEXT = 100
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_ZONE = r"(?:Z|UTC|GMT|(?P<sign>[+-])(?P<ahead>\d\d)(?::?(?P<behind>\d\d))?(?P<named> ?(?:UTC|GMT))?)"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
_FLAGS = re.ASCII | re.IGNORECASE
_USUAL = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)
"""what most clients send: a part of _ISO that `fromisoformat` reads in a third of the time"""
_ISO = re.compile(
    r"(?P<year>\d{4})"
    r"(?:(?P<dash>[-/]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)|-?W(?P<week>\d\d)(?:-?(?P<weekday>[1-7]))?)"
    r"(?:(?:T|[ ])(?P<hour>\d\d)(?:(?P<colon>:?)(?P<minute>\d\d)(?:(?P=colon)(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?)?"
    rf"(?:[ ]?{_ZONE}(?:\[[\w/+-]+\])?)?)?",
    _FLAGS,
)
_MONTH = re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)", _FLAGS)
_MAIL = re.compile(
    rf"(?:(?P<weekday>[a-z]{{3}}), ?)?(?P<day>\d\d?) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK}(?: {_ZONE})?",
    _FLAGS,
)
_CTIME = re.compile(
    rf"(?P<weekday>[a-z]{{3}}) (?P<month>[a-z]{{3}}) {{1,2}}(?P<day>\d\d?) {_CLOCK}(?: {_ZONE})? (?P<year>\d{{4}})",
    _FLAGS,
)
NUMBER = r"^[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,4})?$"
"""regular expression of the texts that are read as numbers"""
_NUMBER = re.compile(NUMBER)

_UNITS = (
    (10**10, MICROSECONDS),
    (10**13, MICROSECONDS // 10**3),
    (10**16, 1),
)
"""(the first number above, microseconds of one) of seconds, milliseconds and microseconds; nanoseconds follow"""
_NANOSECONDS = 10**19
_DOUBTFUL = (
    (re.compile(r"253402(2[1-9]\d{4}|300\d{3})"), "may be the end of the year 9999 or a number of milliseconds"),
    (re.compile(r"(19|20|21)\d\d"), "may be a year or a number of seconds; write a date like 2024-01-31"),
    (re.compile(r"(19|20|21)\d\d(0[1-9]|1[0-2])"), "may be a month or a number of seconds; write months like 2024-01"),
    (
        re.compile(r"(19|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])[0-5]\d"),
        "may be a date or a number of milliseconds; write dates like 2024-01-31T10:15",
    ),
)
"""digits that are refused, and why"""


class TimestampFaultError(ValueError):
    """A value that is no timestamp; the message says what is allowed."""

    def __init__(self, doubt: str | None = None, value: Any = None) -> None:
        super().__init__(f"{value} {doubt}" if doubt else f"must be {FORMS}")
        self.doubt = doubt
        """why the value was not guessed, as a phrase to print after it; None if it resembles no timestamp"""


def timestamp_us(value: Any) -> int:
    """Microseconds since 1970 UTC of a string or number that the module's specification reads.

    Raises TimestampFaultError for anything else, and for what lies outside the years 1 to 9999.
    """
    if isinstance(value, str):
        found = _of_text(value.strip(" \t\r\n"))
    elif isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _NANOSECONDS:  # nor NaN
        raise TimestampFaultError
    elif 10**9 <= value < 10**10:
        return value * MICROSECONDS if isinstance(value, int) else round(value * MICROSECONDS)
    else:
        found = _of_number(repr(value))
    if not FIRST_SECOND * MICROSECONDS <= found < (LAST_SECOND + 1) * MICROSECONDS:
        raise TimestampFaultError
    return found


def timestamp_fault(value: Any) -> str:
    """Why a value is refused, as a phrase to print after it; for a timestamp, that it is out of range."""
    try:
        timestamp_us(value)
    except TimestampFaultError as fault:
        if fault.doubt:
            return fault.doubt
    return f"is not a timestamp ({FORMS})"


def _of_text(text: str) -> int:
    if len(text) > _LONGEST_TEXT:
        raise TimestampFaultError
    if _USUAL.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper())
        except ValueError as error:
            raise TimestampFaultError from error
        return (moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)) // timedelta(microseconds=1)
    if _NUMBER.match(text):
        return _of_number(text)
    for form in (_ISO, _MONTH, _MAIL, _CTIME):
        if found := form.fullmatch(text):
            try:
                return _of_parts(found.groupdict())
            except ValueError as error:
                raise TimestampFaultError from error
    raise TimestampFaultError


def _of_parts(parts: dict[str, str | None]) -> int:
    """Raises ValueError for a date or time that does not exist."""
    hour, minute, second, ahead, behind = (
        int(parts.get(name) or 0) for name in ("hour", "minute", "second", "ahead", "behind")
    )
    offset = ahead * 3600 + behind * 60
    if hour > 23 or minute > 59 or second > 60 or ahead > 23 or behind > 59 or (parts.get("named") and offset):
        raise ValueError("no time of a day")
    seconds = (_day(parts) - _EPOCH.date()).days * 86_400 + hour * 3600 + minute * 60 + second
    if parts.get("sign") == "-":
        offset = -offset
    return (seconds - offset) * MICROSECONDS + int((parts.get("part") or "0")[:6].ljust(6, "0"))


def _day(parts: dict[str, str | None]) -> date:
    year, month = int(parts["year"] or 0), parts.get("month")
    if week := parts.get("week"):
        return date.fromisocalendar(year, int(week), int(parts.get("weekday") or 1))
    if month is None or month.isdecimal():
        return date(year, int(month or 1), int(parts.get("day") or 1))
    day = date(year, _MONTHS.index(month.lower()) + 1, int(parts["day"] or 0))
    weekday = parts.get("weekday")
    if weekday is not None and _WEEKDAYS.index(weekday.lower()) != day.weekday():
        raise ValueError("another day of the week")
    return day


def _of_number(text: str) -> int:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise TimestampFaultError from error
    size = abs(number)
    if not size < _NANOSECONDS:
        raise TimestampFaultError
    whole = int(number)
    if text[0] not in "+-":
        digits = text.partition(".")[0] if text[-1].isdecimal() and "e" not in text.lower() else str(whole)
        if (moment := _written_as_digits(digits, text)) is not None:
            if number != whole:
                raise TimestampFaultError("may be a date or a number; write dates like 2024-01-31", text)
            return moment
    below = 0
    for limit, unit in _UNITS:
        if below <= size < limit:
            return round(number * unit)
        below = 10 * limit
    if size >= below:
        return round(number / 1000)
    raise TimestampFaultError("may be a time in either of two units; write it like 2024-01-31T10:15:00Z", text)


def _written_as_digits(digits: str, text: str) -> int | None:
    """Microseconds of digits that write a date; None if they can be nothing but a count since 1970.

    Raises TimestampFaultError for digits that may be a date and may be a count.
    """
    if len(digits) in (8, 14):
        hour, minute, second = (int(digits[at : at + 2] or 0) for at in (8, 10, 12))
        try:
            if not FIRST_YEAR <= digits[:4] <= LAST_YEAR:
                raise ValueError("no likely year")
            moment = datetime(int(digits[:4]), int(digits[4:6]), int(digits[6:8]), hour, minute, second)
        except ValueError as error:
            raise TimestampFaultError("may be a date or a number; write dates like 2024-01-31", text) from error
        return (moment - _EPOCH) // timedelta(microseconds=1)
    for form, doubt in _DOUBTFUL:
        if form.fullmatch(digits):
            raise TimestampFaultError(doubt, text)
    return None
