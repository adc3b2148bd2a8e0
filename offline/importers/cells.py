"""Checks of imported cells by the rules of the dataset: a night would refuse the same, with less to say about where."""

import polars as pl

from models.errors import DatasetError
from offline.dataset import null_words
from offline.dataset.cell_parsing import Cell, boolean_cell, id_cell, meaning, timestamp_cell
from offline.dataset.parquet_table import exact_integers
from offline.dataset.table import EXACTLY, ROUNDED, column_named
from offline.dataset.timestamps import seconds_of
from offline.importers.origin import PLACE, Origin

_FIRST_EPOCH = 10**8
"""a smaller whole number is more likely a year, a count or a weight than seconds since 1970"""


def require_ids(block: pl.DataFrame, column: str, origin: Origin, name: str = "") -> None:
    """Raises DatasetError for the first cell that cannot be a user id; `name` is the column's in the source."""
    _parsed(block, id_cell(column), origin, name, is_id=True)


def id_texts(block: pl.DataFrame, column: str, origin: Origin) -> pl.Series:
    """A column of ids as text: floats without a fraction as the integers that they were.

    Raises DatasetError for any other float, which has lost digits of an id or never was one, and for a column that
    the source has left out.
    """
    if column not in block.columns:
        raise DatasetError(
            f"{origin.label}, column {column!r}: no id has its type: {EXACTLY}, bytes as hexadecimal digits"
        )
    cells = block[column].alias("cells")  # Polars takes the name of a series for a pattern
    if not cells.dtype.is_float():
        return cells.cast(pl.String).alias(column)
    cells = cells.fill_nan(None)
    exact = (cells.floor() == cells) & (cells.abs() < exact_integers(cells.dtype))
    wrong = ~exact.fill_null(value=True)
    if wrong.any():
        at = int(wrong.arg_true()[0])
        origin.refuse(block[PLACE][at], column, cells[at], f"{ROUNDED}: {EXACTLY}")
    return cells.cast(pl.Int64).cast(pl.String).alias(column)


def moments(block: pl.DataFrame, column: str, origin: Origin, name: str = "") -> pl.Series:
    """The cells as Int64 seconds since 1970 UTC, null if empty or a null word.

    Raises DatasetError for an unreadable cell.
    """
    return _parsed(block, timestamp_cell(column), origin, name)


def booleans(block: pl.DataFrame, column: str, origin: Origin) -> pl.Series:
    """The cells as Boolean, null if empty or a null word. Raises DatasetError for an unreadable cell."""
    return _parsed(block, boolean_cell(column), origin)


def dates_of(seconds: pl.Series) -> pl.Series:
    """Seconds since 1970 as dates and times in UTC: a number in a file may be read as something else."""
    return pl.from_epoch(seconds, "s").cast(pl.Datetime("ms"))


def _parsed(block: pl.DataFrame, cell: Cell, origin: Origin, name: str = "", *, is_id: bool = False) -> pl.Series:
    """The parsed cells of a column. Raises DatasetError for the first that is unreadable."""
    texts = block.select(column_named(cell.column).cast(pl.String), PLACE)
    if not is_id:
        texts = null_words.emptied(texts.lazy(), null_words.DEFAULT, ()).collect()
    means = meaning(cell.column).meta.output_name()
    read = texts.with_columns(cell.value.alias(means))
    wrong = read.filter(cell.bad).head(1)
    if wrong.height:
        text = wrong[cell.column].item()
        fault = cell.fault if isinstance(cell.fault, str) else cell.fault(text or "")
        origin.refuse(wrong[PLACE].item(), name or cell.column, text, fault)
    return read[means].alias(cell.column)


def numbers(block: pl.DataFrame, column: str, origin: Origin, dtype: pl.DataType, fault: str) -> pl.Series:
    """The cells as numbers, null if empty. Raises DatasetError for a cell that is none."""
    cells = block[column].alias("cells")  # Polars takes the name of a series for a pattern
    read = cells.str.strip_chars().cast(dtype, strict=False)
    wrong = (read.is_null() & cells.is_not_null()) | (~read.is_finite() if dtype.is_float() else False)
    wrong = wrong.fill_null(value=False)
    if wrong.any():
        at = int(wrong.arg_true()[0])
        origin.refuse(block[PLACE][at], column, block[column][at], fault)
    return read.alias(column)


def look_like_moments(cells: pl.Series) -> bool:
    """Whether all filled cells of a sample are moments, and no small whole numbers such as years or counts."""
    written = cells.alias("cells").to_frame().lazy()
    filled = null_words.emptied(written, null_words.DEFAULT, ()).collect()["cells"].drop_nulls()
    if filled.is_empty():
        return False
    whole = filled.str.strip_chars().cast(pl.Float64, strict=False)
    small = (whole.abs() < _FIRST_EPOCH).fill_null(value=False)
    return not small.any() and not seconds_of(filled).null_count()
