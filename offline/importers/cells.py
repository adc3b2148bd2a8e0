"""Checks of imported cells by the rules of the dataset: a night would refuse the same, with less to say about where."""

import polars as pl

from models.schema.columns import FLAG_COLUMNS, user_id_fault
from offline.dataset.cell_parsing import boolean_cell, id_cell, meaning
from offline.dataset.timestamps import seconds_of
from offline.importers.origin import PLACE, Origin

_FIRST_EPOCH = 10**8
"""a smaller whole number is more likely a year, a count or a weight than seconds since 1970"""


def require_ids(block: pl.DataFrame, column: str, origin: Origin, name: str = "") -> None:
    """Raises DatasetError for the first cell that cannot be a user id; `name` is the column's in the source."""
    wrong = block.filter(id_cell(column).bad).head(1)
    if wrong.height:
        cell = wrong[column].item()
        origin.refuse(wrong[PLACE].item(), name or column, cell, (cell and user_id_fault(cell)) or "is empty")


def moments(block: pl.DataFrame, column: str, origin: Origin, name: str = "") -> pl.Series:
    """The cells as Int64 seconds since 1970 UTC, null if empty. Raises DatasetError for an unreadable cell."""
    cells = block[column]
    if cells.dtype.is_integer():
        return cells.cast(pl.Int64)
    seconds = seconds_of(cells.cast(pl.String))
    unread = seconds.is_null() & cells.is_not_null()
    if unread.any():
        at = int(unread.arg_true()[0])
        origin.refuse(block[PLACE][at], name or column, cells[at], "is not a timestamp (ISO 8601 or epoch seconds)")
    return seconds


def booleans(block: pl.DataFrame, column: str, origin: Origin) -> pl.Series:
    """The cells as Boolean, null if empty. Raises DatasetError for an unreadable cell."""
    if block[column].dtype == pl.Boolean:
        return block[column]
    texts = block.select(pl.col(column).cast(pl.String), PLACE)
    cell = boolean_cell(column)
    read = texts.with_columns(cell.value.alias(meaning(column).meta.output_name()))
    wrong = read.filter(cell.bad).head(1)
    if wrong.height:
        origin.refuse(wrong[PLACE].item(), column, wrong[column].item(), str(cell.fault))
    return read[meaning(column).meta.output_name()].alias(column)


def numbers(block: pl.DataFrame, column: str, origin: Origin, dtype: pl.DataType, fault: str) -> pl.Series:
    """The cells as numbers, null if empty. Raises DatasetError for a cell that is none."""
    read = block[column].str.strip_chars().cast(dtype, strict=False)
    wrong = (read.is_null() & block[column].is_not_null()) | (~read.is_finite() if dtype.is_float() else False)
    wrong = wrong.fill_null(value=False)
    if wrong.any():
        at = int(wrong.arg_true()[0])
        origin.refuse(block[PLACE][at], column, block[column][at], fault)
    return read


def look_like_moments(cells: pl.Series) -> bool:
    """Whether all filled cells of a sample are moments, and no small whole numbers such as years or counts."""
    filled = cells.drop_nulls()
    if filled.is_empty():
        return False
    whole = filled.str.strip_chars().cast(pl.Float64, strict=False)
    small = (whole.abs() < _FIRST_EPOCH).fill_null(value=False)
    return not small.any() and not seconds_of(filled).null_count()


FLAGS = tuple(FLAG_COLUMNS)
