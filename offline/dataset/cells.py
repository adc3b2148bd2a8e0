"""What the text of a cell means, by the kind of its column, as Polars expressions over whole columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from models.columns import CONTROL_CHARACTERS, RESERVED_IDS, USER_ID_BYTES, Kind, user_id_fault
from offline.dataset.table import RECORD, Shape, Table

INTEGER = r"^[+-]?\d+$"
MOMENT = (
    r"^\s*(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:[Zz]|([+-])(\d{2}):?(\d{2})?)?)?\s*$"
)
"""ISO 8601, a date and perhaps a time with an offset; groups: date, hour, minute, second, sign, hours, minutes"""
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""the years 1 to 9999: a number of milliseconds falls outside, and is refused instead of misread"""

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_BAD = "\0bad"


@dataclass(frozen=True)
class Cell:
    """How a column is read."""

    column: str
    value: pl.Expr
    """what the cell means; null where it is empty or unreadable"""
    bad: pl.Expr
    """whether it is unreadable, bool without nulls"""
    fault: str | Callable[[str], str]
    """what is wrong with an unreadable cell, to be read after its value; or how to tell from the value"""


def read_cells(table: Table, frame: pl.LazyFrame, cells: Sequence[Cell]) -> pl.DataFrame:
    """RECORD and the meaning of each cell, in the order of the file.

    Raises DatasetError about the first unreadable cell, with its line, column and value.
    """
    none = pl.lit(None, dtype=pl.UInt16)
    first_bad = pl.coalesce([none, *[pl.when(cell.bad).then(pl.lit(n, pl.UInt16)) for n, cell in enumerate(cells)]])
    values = [cell.value.alias(cell.column) for cell in cells]
    read = table.collect(frame.select(RECORD, *values, first_bad.alias(_BAD)))
    wrong = read.filter(pl.col(_BAD).is_not_null()).sort(RECORD).head(1)
    if wrong.height:
        cell = cells[wrong[_BAD].item()]
        table.refuse(wrong[RECORD].item(), cell.column, cell.fault)
    return read.drop(_BAD)


def id_cell(column: str) -> Cell:
    """A column of user ids: every cell filled, and as models.columns.check_user_id wants it."""
    text = pl.col(column)
    long = text.str.len_bytes() > USER_ID_BYTES
    bad = text.is_null() | long | text.is_in(RESERVED_IDS) | text.str.contains(CONTROL_CHARACTERS)
    return Cell(column, text, bad.fill_null(value=True), _unreadable_id)


def cell_of(kind: Kind, column: str, shape: Shape, *, splits_sets: bool) -> Cell:
    """How a profile column of a kind is read from cells of a shape."""
    text = pl.col(column)
    if kind is Kind.MULTI:
        return _multi(column, shape, splits_sets=splits_sets)
    if shape is Shape.LIST:
        fault = f"is a list, and the column is {kind}: declare it multi"
        return Cell(column, pl.lit(None, dtype=pl.String), text.is_not_null(), fault)
    match kind:
        case Kind.NUMERIC:
            return _readable(column, number(text), "is not a finite number")
        case Kind.TIMESTAMP:
            return moment_cell(column)
        case Kind.LOCATION:
            return _readable(column, location(text), 'is not a location ("lat,lon" in degrees)')
    return Cell(column, text, pl.lit(value=False), "")


def moment_cell(column: str) -> Cell:
    """A column of timestamps; an empty cell is null."""
    return _readable(column, moment(pl.col(column)), "is not a timestamp (ISO 8601 or epoch seconds)")


def truth_cell(column: str) -> Cell:
    """A column of true and false; an empty cell is null."""
    text = pl.col(column).str.strip_chars().str.to_lowercase()
    truth = text.replace_strict(_TRUTHS, default=None, return_dtype=pl.Boolean)
    return _readable(column, truth, "is neither true nor false (true, false, 1, 0, yes, no)")


def number(text: pl.Expr) -> pl.Expr:
    """Float64; null where the text is no finite number."""
    value = text.str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def moment(text: pl.Expr) -> pl.Expr:
    """Whole seconds since 1970 UTC, Int64, rounded down; null where the text is no moment of the years 1 to 9999.

    A time of day without an offset is UTC.
    """
    whole = text.str.strip_chars().cast(pl.Int64, strict=False)
    seconds = pl.coalesce([whole, number(text).floor().cast(pl.Int64, strict=False), iso_moment(text)])
    return pl.when(seconds.is_between(FIRST_SECOND, LAST_SECOND)).then(seconds)


def iso_moment(text: pl.Expr) -> pl.Expr:
    """Whole seconds since 1970 UTC of an ISO 8601 text, Int64; null where it is none."""
    part = text.str.extract_groups(MOMENT).struct
    date = part.field("1").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Int64)
    hour, minute, second, ahead, behind = (
        part.field(name).cast(pl.Int64, strict=False).fill_null(0) for name in ("2", "3", "4", "6", "7")
    )
    valid = (hour < 24) & (minute < 60) & (second <= 60) & (ahead < 24) & (behind < 60)
    offset = (ahead * 3600 + behind * 60) * pl.when(part.field("5") == "-").then(-1).otherwise(1)
    return pl.when(valid).then(date * 86_400 + hour * 3600 + minute * 60 + second - offset)


def location(text: pl.Expr) -> pl.Expr:
    """Struct of `lat` and `lon`, Float64 degrees; null where the text is no place on Earth."""
    halves = text.str.extract_groups(r"^([^,]+),([^,]+)$").struct
    lat, lon = number(halves.field("1")), number(halves.field("2"))
    there = lat.is_between(-90, 90) & lon.is_between(-180, 180)
    return pl.when(there).then(pl.struct(lat.alias("lat"), lon.alias("lon")))


def _readable(column: str, value: pl.Expr, fault: str) -> Cell:
    return Cell(column, value, pl.col(column).is_not_null() & value.is_null(), fault)


def _multi(column: str, shape: Shape, *, splits_sets: bool) -> Cell:
    """A set as a sorted List(String) without empty values; null where it has none."""
    raw, bad = pl.col(column), pl.lit(value=False)
    if shape is Shape.LIST:
        values = raw
    elif splits_sets:
        values = raw.str.split("|")
    else:
        is_list = raw.str.starts_with("[") & raw.str.ends_with("]")
        bad = (raw.is_not_null() & ~is_list).fill_null(value=False)
        values = pl.when(is_list).then(raw).str.json_decode(pl.List(pl.String))
    kept = values.list.eval(pl.element().filter(pl.element() != "").unique().sort())
    return Cell(column, pl.when(kept.list.len() > 0).then(kept), bad, "is not a list of values")


def _unreadable_id(cell: str) -> str:
    return user_id_fault(cell) or "is no user id"
