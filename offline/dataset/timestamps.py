"""Parsing of whole columns of timestamps, by the specification of models.schema.timestamps."""

import polars as pl

from models.schema.timestamps import FIRST_SECOND, LAST_SECOND, NUMBER, TimestampFaultError, timestamp_us
from models.system.clock import MICROSECONDS

_WHITE = " \t\r\n"
_PLAIN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9]Z?$"
_FORM = "%Y-%m-%dT%H:%M:%S"
_COUNTS = {r"^[1-9][0-9]{8,9}$": 1, r"^[1-9][0-9]{12}$": 10**3, r"^[1-9][0-9]{14,15}$": 10**6}
"""counts of a second's parts, by how they are written"""
_ZONE = r" ?(?:[Zz]|[Uu][Tt][Cc]|[Gg][Mm][Tt]|(?<sign>[+-])(?<ahead>[0-9]{2})(?::?(?<behind>[0-9]{2}))?)?"
_EXTENDED = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    rf"(?:[Tt ](?<hour>[0-9]{{2}}):(?<minute>[0-9]{{2}})(?::(?<second>[0-9]{{2}})(?:[.,][0-9]+)?)?{_ZONE})?$"
)
_BASIC = (
    r"^(?<date>[0-9]{8})"
    rf"[Tt ](?<hour>[0-9]{{2}})(?<minute>[0-9]{{2}})(?:(?<second>[0-9]{{2}})(?:[.,][0-9]+)?)?{_ZONE}$"
)


def seconds_of(texts: pl.Series) -> pl.Series:
    """Whole seconds since 1970 UTC, Int64, rounded down; null if a text is not a timestamp of the years 1 to 9999.

    The usual forms are read as columns; each text that has another form is read by `timestamp_us`.
    """
    left = texts.str.strip_chars(_WHITE)
    seconds = pl.repeat(None, len(left), dtype=pl.Int64, eager=True)
    for read in (_plain, _counted, _extended, _basic, _specified):
        missing = seconds.is_null() & left.is_not_null()
        if not missing.any():
            break
        seconds = read(left) if missing.all() else seconds.scatter(missing.arg_true(), read(left.filter(missing)))
    inside = seconds.is_between(FIRST_SECOND, LAST_SECOND)
    return (seconds if inside.all() else seconds.set(~inside, None)).alias(texts.name)


def iso_seconds(texts: pl.Series) -> pl.Series:
    """Like `seconds_of` for dates and times alone: a number is null."""
    numbers = texts.str.strip_chars(_WHITE).str.contains(NUMBER)
    return seconds_of(texts.set(numbers, None) if numbers.any() else texts)


def _plain(texts: pl.Series) -> pl.Series:
    """`2024-01-31T10:15:00Z`, with or without the Z."""
    if not texts.head(100).str.contains(_PLAIN).any():
        return pl.repeat(None, len(texts), dtype=pl.Int64, eager=True)
    plain = texts.str.contains(_PLAIN)
    ordinary = texts if plain.all() else texts.set(~plain, None)
    return ordinary.str.strip_suffix("Z").str.to_datetime(_FORM, strict=False, time_unit="ms").dt.epoch("s")


def _counted(texts: pl.Series) -> pl.Series:
    """Digits whose number says the unit."""
    text = pl.col("text")
    counts = [pl.when(text.str.contains(form)).then(text).cast(pl.Int64) // parts for form, parts in _COUNTS.items()]
    return texts.to_frame("text").select(pl.coalesce(counts))["text"]


def _extended(texts: pl.Series) -> pl.Series:
    """`2024-01-31`, and with a time in ISO 8601's extended format."""
    return _of_parts(texts, _EXTENDED, "%Y-%m-%d")


def _basic(texts: pl.Series) -> pl.Series:
    """`20240131T101500` and the other times in ISO 8601's basic format."""
    return _of_parts(texts, _BASIC, "%Y%m%d")


def _of_parts(texts: pl.Series, form: str, date_form: str) -> pl.Series:
    """Seconds from the groups of a regular expression."""
    parts = texts.str.extract_groups(form).struct.unnest()
    hour, minute, second, ahead, behind = (
        pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hour", "minute", "second", "ahead", "behind")
    )
    days = pl.col("date").str.to_date(date_form, strict=False).cast(pl.Int32).cast(pl.Int64)
    possible = (hour < 24) & (minute < 60) & (second <= 60) & (ahead < 24) & (behind < 60)
    east = pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - east * (ahead * 3600 + behind * 60)
    return parts.select(pl.when(possible).then(seconds).alias("seconds"))["seconds"]


def _specified(texts: pl.Series) -> pl.Series:
    """All other forms; each text once."""
    once = texts.unique()
    seconds = pl.Series([_second(text) for text in once], dtype=pl.Int64)
    return texts.replace_strict(once, seconds, default=None, return_dtype=pl.Int64)


def _second(text: str) -> int | None:
    try:
        return timestamp_us(text) // MICROSECONDS
    except TimestampFaultError:
        return None
