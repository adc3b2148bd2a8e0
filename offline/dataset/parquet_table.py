"""A table in a Parquet file."""

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import polars as pl

from models.errors import DatasetError
from offline.dataset.table import RECORD, Shape, Table, column_named, first_line, null_if_empty

EXACT_INTEGERS = 2.0**53
"""a float below this without a fraction is an integer that was stored as a float"""


class ParquetTable(Table):
    """Reads numbers, booleans and dates as the text that a CSV file would hold; NaN is an empty cell."""

    def shapes(self) -> dict[str, Shape]:
        return {name: _shape(dtype) for name, dtype in self._schema.items()}

    def has(self, column: str) -> bool:
        return column in self._schema

    def require(self, column: str) -> None:
        if not self.has(column):
            named = ", ".join(repr(name) for name in self._schema)
            raise DatasetError(f"{self.path}: the column {column!r} is missing; the file has {named}")

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        for column in columns:
            if _shape(self._schema[column]) is Shape.OTHER:
                raise DatasetError(f"{self.path}, column {column!r}: no kind reads the type {self._schema[column]}")
        frame = pl.scan_parquet(self.path, row_index_name=RECORD, glob=False)
        return frame.select(RECORD, *[_text(column, self._schema[column]) for column in columns])

    def locate(self, record: int) -> str:
        return f"{self.path}, row {record + 1}"

    def diagnose(self, error: Exception) -> DatasetError:
        return DatasetError(f"{self.path} cannot be read as Parquet: {first_line(error)}")

    @cached_property
    def _schema(self) -> pl.Schema:
        try:
            return pl.scan_parquet(self.path, glob=False).collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self.diagnose(error) from error


def _shape(dtype: pl.DataType) -> Shape:
    if isinstance(dtype, (pl.List, pl.Array)):
        return Shape.LIST if _shape(_inner(dtype)) is Shape.TEXT else Shape.OTHER
    readable = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime, pl.Null)
    return Shape.TEXT if dtype.is_numeric() or isinstance(dtype, readable) else Shape.OTHER


def _text(column: str, dtype: pl.DataType) -> pl.Expr:
    cell = column_named(column)
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = _inner(dtype)
        return cell.cast(pl.List(inner)).list.eval(_scalar(pl.element(), inner))
    return null_if_empty(column, _scalar(cell, dtype))


def _scalar(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A cell as text."""
    if dtype.is_float():
        number = cell.fill_nan(None)
        whole = (number == number.floor()) & (number.abs() < EXACT_INTEGERS)
        integer = number.cast(pl.Int64, strict=False)
        return pl.when(whole).then(integer.cast(pl.String)).otherwise(number.cast(pl.String))
    if isinstance(dtype, pl.Datetime):
        utc = cell.dt.convert_time_zone("UTC") if dtype.time_zone else cell
        return utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(dtype, pl.Date):
        return cell.dt.strftime("%Y-%m-%d")
    return cell.cast(pl.String)


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    """The type of the elements. Polars types it as a class or an instance; a schema holds instances."""
    return cast("pl.DataType", dtype.inner)
