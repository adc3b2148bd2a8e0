"""What the text of a cell means, by the kind of its column, as Polars expressions over whole columns."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from models.schema.columns import (
    CONTROL_CHARACTERS,
    RESERVED_IDS,
    USER_ID_BYTES,
    Kind,
    user_id_fault,
)
from offline.dataset.table import RECORD, Shape, Table
from offline.dataset.timestamps import seconds_of

PLACE = pl.Struct({"lat": pl.Float64, "lon": pl.Float64})
"""degrees"""
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_BAD = "\0bad"
_MEANING = "\0means "


@dataclass(frozen=True)
class Cell:
    """How a column is read."""

    column: str
    value: pl.Expr
    """what the cell means; null where it is empty or unreadable"""
    bad: pl.Expr
    """whether it is unreadable, bool without nulls; what the cell means is `meaning(column)` here"""
    fault: str | Callable[[str], str]
    """what is wrong with an unreadable cell, to be read after its value; or how to tell from the value"""


def meaning(column: str) -> pl.Expr:
    """What the cells of a column mean, once `Cell.value` is worked out."""
    return pl.col(f"{_MEANING}{column}")


def read_cells(table: Table, frame: pl.LazyFrame, cells: Sequence[Cell]) -> pl.DataFrame:
    """RECORD and the meaning of each cell, in the order of the file.

    Raises DatasetError about the first unreadable cell, with its line, column and value.
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


def id_cell(column: str) -> Cell:
    """A column of user ids: every cell filled, and as models.schema.columns.check_user_id wants it."""
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
    """Whole seconds since 1970 UTC, Int64; null where the text is no moment."""
    return text.map_batches(seconds_of, return_dtype=pl.Int64, is_elementwise=True)


def location(text: pl.Expr) -> pl.Expr:
    """Struct of `lat` and `lon`, Float64 degrees; null where the text is no place on Earth."""
    return text.map_batches(_places, return_dtype=PLACE, is_elementwise=True)


def _places(texts: pl.Series) -> pl.Series:
    halves = texts.str.extract_groups(r"^(?<lat>[^,]+),(?<lon>[^,]+)$").struct.unnest()
    degrees = halves.select(number(pl.col("lat")), number(pl.col("lon")))
    there = pl.col("lat").is_between(-90, 90) & pl.col("lon").is_between(-180, 180)
    return degrees.select(pl.when(there).then(pl.struct("lat", "lon")).alias("place"))["place"]


def _readable(column: str, value: pl.Expr, fault: str) -> Cell:
    return Cell(column, value, pl.col(column).is_not_null() & meaning(column).is_null(), fault)


def _multi(column: str, shape: Shape, *, splits_sets: bool) -> Cell:
    """A set as a sorted List(String) without empty values; null where it has none."""
    raw, bad = pl.col(column), pl.lit(value=False)
    if shape is Shape.LIST:
        values = raw
    elif splits_sets:
        values = raw.str.split("|")
    else:
        values = raw.map_batches(_json_lists, return_dtype=pl.List(pl.String), is_elementwise=True)
        bad = raw.is_not_null() & values.is_null()
    kept = values.list.eval(pl.element().filter(pl.element() != "").unique().sort())
    return Cell(column, pl.when(kept.list.len() > 0).then(kept), bad, "is not a list of values")


def _unreadable_id(cell: str) -> str:
    return user_id_fault(cell) or "is no user id"


def _json_lists(texts: pl.Series) -> pl.Series:
    """The lists among texts, null for what is none: a JSONL column that has both comes as text.

    Cell by cell, since one text that only begins like a list would make a whole column undecodable.
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
