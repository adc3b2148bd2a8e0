"""Parsing of timestamps: ISO 8601 or epoch seconds."""

from collections.abc import Callable

import polars as pl

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""the years 1 to 9999: epoch milliseconds fall outside and are rejected instead of misread"""

_PLAIN = "%Y-%m-%dT%H:%M:%S"
_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?<hour>\d{2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?:[Zz]|(?<sign>[+-])(?<ahead>\d{2}):?(?<behind>\d{2})?)?)?$"
)


def seconds_of(texts: pl.Series) -> pl.Series:
    """Whole seconds since 1970 UTC, Int64, rounded down; null if a text is not a timestamp of the years 1 to 9999.

    A time of day without an offset is UTC.
    """
    stripped = texts.str.strip_chars()
    whole = stripped.cast(pl.Int64, strict=False)
    return _in_range(_where_null(_where_null(whole, stripped, _rounded_down), stripped, iso_seconds))


def iso_seconds(texts: pl.Series) -> pl.Series:
    """Like `seconds_of` for ISO 8601 alone: a number is null."""
    stripped = texts.str.strip_chars()
    plain = stripped.str.strip_suffix("Z").str.to_datetime(_PLAIN, strict=False, time_unit="ms").dt.epoch("s")
    return _in_range(_where_null(plain, stripped, _written_out))


def _written_out(texts: pl.Series) -> pl.Series:
    """Seconds of any spelling that _ISO matches."""
    parts = texts.str.extract_groups(_ISO).struct.unnest()
    hour, minute, second, ahead, behind = (
        pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hour", "minute", "second", "ahead", "behind")
    )
    days = pl.col("date").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Int64)
    possible = (hour < 24) & (minute < 60) & (second <= 60) & (ahead < 24) & (behind < 60)
    east = pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - east * (ahead * 3600 + behind * 60)
    return parts.select(pl.when(possible).then(seconds).alias("seconds"))["seconds"]


def _rounded_down(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.Float64, strict=False).floor().cast(pl.Int64, strict=False)


def _in_range(seconds: pl.Series) -> pl.Series:
    inside = seconds.is_between(FIRST_SECOND, LAST_SECOND)
    return seconds if inside.all() else seconds.set(~inside, None)


def _where_null(found: pl.Series, texts: pl.Series, parse: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`found`, with nulls replaced by `parse(text)`."""
    left = found.is_null() & texts.is_not_null()
    return found.scatter(left.arg_true(), parse(texts.filter(left))) if left.any() else found
