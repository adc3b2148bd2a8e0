"""Parsers for the cells of a column, one per column kind, as Polars expressions over whole columns."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from models.schema.columns import CONTROL_CHARACTERS, RESERVED_IDS, USER_ID_BYTES, Kind, user_id_fault
from models.schema.timestamps import timestamp_fault
from offline.dataset.table import EXACTLY, RECORD, ROUNDED, Shape, Table, column_named
from offline.dataset.timestamps import seconds_of

COORDINATES = pl.Struct({"lat": pl.Float64, "lon": pl.Float64})
"""degrees"""
_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
_BOOLEANS = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
DECIMAL_COMMA = r"^[+-]?[0-9]+,[0-9]+$"
"""regular expression of a number with a decimal comma, or of a location in whole degrees"""
_THOUSANDS = r"^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"
_PLACE = r"^\s*\[?(?<lat>[^,\[\]]+),(?<lon>[^,\[\]]+)\]?\s*$"
_POINT = r"^(?i)\s*POINT\s*\(\s*(?<east>[^\s()]+)\s+(?<north>[^\s()]+)\s*\)\s*$"
_WHOLE = r"^-?[0-9]+$"
_ROUNDED = r"^[+-]?(?:[0-9](?:\.[0-9]+[eE]\+?|[eE]\+)(?:1[5-9]|[2-9][0-9])|[0-9]{16,}\.[0-9]*)$"
"""regular expression of a number that a float has rounded: `1.3448e+18`, `1e+18`, `9007199254740992.0`"""
_WITH_ZEROS = r"^-?[0-9]+\.0+$"
_BAD = "\0bad"
_MEANING = "\0means "


@dataclass(frozen=True)
class Cell:
    """How to parse one column."""

    column: str
    value: pl.Expr
    """the parsed cell; null if the cell is empty or unreadable"""
    bad: pl.Expr
    """bool without nulls: is the cell unreadable? The expression may use `meaning(column)`, the parsed cell"""
    fault: str | Callable[[str], str]
    """what is wrong with an unreadable cell, or a function of the cell that returns it. The message prints it after the
    cell"""


def meaning(column: str) -> pl.Expr:
    """The parsed cells of a column, after `Cell.value` is computed."""
    return pl.col(f"{_MEANING}{column}")


def read_cells(table: Table, frame: pl.LazyFrame, cells: Sequence[Cell]) -> pl.DataFrame:
    """Returns RECORD and the parsed cells, in the order of the file.

    Raises DatasetError for the first unreadable cell, with its line, column and value.
    """
    none = pl.lit(None, dtype=pl.UInt16)
    first_bad = pl.coalesce([none, *[pl.when(cell.bad).then(pl.lit(n, pl.UInt16)) for n, cell in enumerate(cells)]])
    valued = frame.with_columns(cell.value.alias(f"{_MEANING}{cell.column}") for cell in cells)
    meanings = [meaning(cell.column).alias(cell.column) for cell in cells]
    read = table.collect(valued.select(RECORD, *meanings, first_bad.alias(_BAD)))
    wrong = read.filter(pl.col(_BAD).is_not_null()).sort(RECORD).head(1)
    if wrong.height:
        cell = cells[wrong[_BAD].item()]
        table.refuse(wrong[RECORD].item(), cell.column, cell.fault)
    return read.drop(_BAD)


def id_cell(column: str, *, floats: bool = False) -> Cell:
    """Parses user ids: every cell is filled and has no models.schema.columns.user_id_fault.

    A number that was rounded is refused, since several users would share it: one in scientific notation, and where
    the cells are `floats`, one that is not a whole number below 2^53. So is a column of nothing but `7.0`.
    """
    text = column_named(column)
    long = text.str.len_bytes() > USER_ID_BYTES
    bad = text.is_null() | long | text.is_in(RESERVED_IDS) | text.str.contains(f"{CONTROL_CHARACTERS}|{_ROUNDED}")
    with_zeros = text.str.contains(_WITH_ZEROS)
    bad |= with_zeros & with_zeros.all()  # `7.0` may be an id, a column of nothing else is one of integers gone wrong
    if floats:
        bad |= ~text.str.contains(_WHOLE)
    return Cell(column, text, bad.fill_null(value=True), _rounded_id if floats else _unreadable_id)


def cell_of(kind: Kind, column: str, shape: Shape, *, splits_sets: bool, null_words: Sequence[str] = ()) -> Cell:
    """Parses a profile column of a kind from cells of a shape."""
    text = column_named(column)
    if kind is Kind.MULTI:
        return _multi(column, shape, splits_sets=splits_sets, null_words=null_words)
    if kind is Kind.LOCATION:
        places = location(text.list.join(",") if shape is Shape.LIST else text)
        return _readable(column, places, 'is not a location ("lat,lon" in degrees)')
    if shape is Shape.LIST:
        fault = f"is a list, and the column is {kind}: declare it multi"
        return Cell(column, pl.lit(None, dtype=pl.String), text.is_not_null(), fault)
    match kind:
        case Kind.NUMERIC:
            return _readable(column, column_of_numbers(text), _no_number)
        case Kind.TIMESTAMP:
            return timestamp_cell(column)
    return Cell(column, text, pl.lit(value=False), "")


def timestamp_cell(column: str) -> Cell:
    """Parses timestamps; an empty cell is null."""
    return _readable(column, timestamp(column_named(column)), timestamp_fault)


def boolean_cell(column: str) -> Cell:
    """Parses booleans; an empty cell is null."""
    text = column_named(column).str.strip_chars().str.to_lowercase()
    truth = text.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    return _readable(column, truth, "is neither true nor false (true, false, t, f, 1, 0, yes, no, y, n)")


def number(text: pl.Expr) -> pl.Expr:
    """Float64; null if the text is not a finite number."""
    value = text.str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def column_of_numbers(text: pl.Expr) -> pl.Expr:
    """Like `number` for a whole column, whose numbers may have a decimal comma: `3,5`.

    `1,234` is 1.234 only if another cell of the column shows that the comma is no thousands separator, and none has a
    decimal point; otherwise it is null.
    """
    stripped = text.str.strip_chars()
    decimal = stripped.str.contains(DECIMAL_COMMA)
    doubtful = stripped.str.contains(_THOUSANDS)
    sure = (decimal & ~doubtful).any() & ~stripped.str.contains(".", literal=True).any()
    with_point = number(stripped.str.replace(",", ".", literal=True))
    return pl.when(decimal & (sure | ~doubtful)).then(with_point).otherwise(number(text))


def timestamp(text: pl.Expr) -> pl.Expr:
    """Whole seconds since 1970 UTC, Int64; null if the text is not a timestamp."""
    return text.map_batches(seconds_of, return_dtype=pl.Int64, is_elementwise=True)


def location(text: pl.Expr) -> pl.Expr:
    """Struct of `lat` and `lon`, Float64 degrees; null if the text is not a location: `lat,lon`, `[lat, lon]` or the
    `POINT (lon lat)` of well-known text."""
    return text.map_batches(_coordinates, return_dtype=COORDINATES, is_elementwise=True)


def _coordinates(texts: pl.Series) -> pl.Series:
    parts = texts.str.extract_groups(_PLACE).struct.unnest()
    points = texts.str.extract_groups(_POINT).struct.unnest()
    degrees = pl.concat([parts, points], how="horizontal").select(
        number(pl.coalesce("lat", "north")).alias("lat"), number(pl.coalesce("lon", "east")).alias("lon")
    )
    there = pl.col("lat").is_between(-90, 90) & pl.col("lon").is_between(-180, 180)
    return degrees.select(pl.when(there).then(pl.struct("lat", "lon")).alias("place"))["place"]


def _readable(column: str, value: pl.Expr, fault: str | Callable[[str], str]) -> Cell:
    return Cell(column, value, column_named(column).is_not_null() & meaning(column).is_null(), fault)


def _multi(column: str, shape: Shape, *, splits_sets: bool, null_words: Sequence[str]) -> Cell:
    """Parses a set as a sorted List(String) without empty values; null if no value is left."""
    raw, bad = column_named(column), pl.lit(value=False)
    if shape is Shape.LIST:
        values = raw
    elif splits_sets:
        values = raw.str.split("|")
    else:
        values = raw.map_batches(_json_lists, return_dtype=pl.List(pl.String), is_elementwise=True)
        bad = raw.is_not_null() & values.is_null()
    empty = pl.element().is_in(pl.Series(["", *null_words]).implode())
    kept = values.list.eval(pl.element().filter(~empty).unique().sort())
    return Cell(column, pl.when(kept.list.len() > 0).then(kept), bad, "is not a list of values")


def _unreadable_id(cell: str) -> str:
    if re.search(_ROUNDED, cell):
        return user_id_fault(cell) or f"is a rounded number: {EXACTLY}"
    if re.search(_WITH_ZEROS, cell):
        return f"has decimals, as all ids of this column: {EXACTLY}"
    return user_id_fault(cell) or "is not a user id"


def _no_number(cell: str) -> str:
    if re.match(_THOUSANDS, cell.strip()):
        return "may be a number with a decimal comma or one above a thousand: write it with a point, or without a comma"
    return "is not a finite number"


def _rounded_id(cell: str) -> str:
    exact = re.fullmatch(_WHOLE, cell)
    return _unreadable_id(cell) if exact else f"{ROUNDED}: {EXACTLY}"


def _json_lists(texts: pl.Series) -> pl.Series:
    """Lists decoded from JSON texts; null if a text is not a list. JSONL columns of mixed shape arrive as text.

    Decodes cell by cell, since one text that only begins like a list would make the whole column undecodable.
    """
    return pl.Series(texts.name, [_json_list(text) for text in texts], dtype=pl.List(pl.String))


def _json_list(text: str | None) -> list[str] | None:
    try:
        values = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(values, list) or any(isinstance(value, (list, dict)) for value in values):
        return None
    return [value if isinstance(value, str) else json.dumps(value) for value in values if value is not None]
