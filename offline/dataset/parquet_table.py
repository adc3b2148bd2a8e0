"""A table in a Parquet file."""

import math
import os
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import polars as pl
import structlog

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN, Kind
from models.schema.timestamps import FIRST_SECOND, LAST_SECOND
from offline.dataset.table import (
    BYTES_OF_IDS,
    OTHER_ID,
    RECORD,
    USER_ID,
    Shape,
    Table,
    column_named,
    first_line,
    null_if_empty,
)

_DIGITS: dict[type[pl.DataType], int] = {pl.Float16: 11, pl.Float32: 24, pl.Float64: 53}
"""binary digits of a float: below 2 to that power one without a fraction is an integer that was stored as a float"""
MOST_DECIMALS = 38
"""digits of the widest decimal that is read"""

_ID_COLUMNS = (USER_ID, OTHER_ID)
_NO_LISTS = (*_ID_COLUMNS, "kind", "at", CREATED_AT_COLUMN)
_PLACES = ({"lat", "lon"}, {"lat", "lng"}, {"lat", "long"}, {"latitude", "longitude"})
"""the fields of a struct that is a location"""
_UUID_BYTES = 16
_UUID = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
_NEXT = "[89ab]."
_UTF8 = (
    r"^(?:0[9ad]|[2-6].|7[0-9a-e]"
    rf"|c2[ab].|(?:c[3-9a-f]|d.){_NEXT}"
    rf"|e0[ab].{_NEXT}|(?:e[1-9abcef])(?:{_NEXT}){{2}}|ed[89].{_NEXT}"
    rf"|f0[9ab].(?:{_NEXT}){{2}}|f[1-3](?:{_NEXT}){{3}}|f48.(?:{_NEXT}){{2}})*$"
)
"""regular expression of the hexadecimal digits of UTF-8 without control characters, but with tabs and line breaks.
Polars has no cast that marks bytes that are not UTF-8.
"""

_PARTS = {"ms": 10**3, "us": 10**6}
"""of a second"""

log = structlog.get_logger(__name__)


class ParquetTable(Table):
    """Reads numbers, booleans, dates and bytes as the text that a CSV file would hold; NaN is an empty cell.

    A column of bytes holds UTF-8 text, or UUIDs if not all of it is text and each cell has 16 bytes; ids of other
    bytes are read as hexadecimal digits.
    """

    def __init__(self, path: Path, ids: Sequence[str] = _ID_COLUMNS) -> None:
        """`ids` are the columns in which any bytes are read."""
        super().__init__(path)
        self._ids = ids

    def shapes(self) -> dict[str, Shape]:
        return {name: self._shape_of(name) for name in self._schema}

    def has(self, column: str) -> bool:
        return column in self._schema

    def require(self, column: str) -> None:
        if not self.has(column):
            named = ", ".join(repr(name) for name in self._schema)
            raise DatasetError(f"{self.path}: the column {column!r} is missing; the file has {named}")

    def rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        for column in columns:
            shape = self._shape_of(column)
            if shape is Shape.OTHER or (shape is Shape.LIST and column in _NO_LISTS):
                raise DatasetError(f"{self.path}, column {column!r}: no kind reads the type {self._schema[column]}")
        frame = self._scan(row_index_name=RECORD)
        return frame.select(RECORD, *[self._text(column) for column in columns])

    def locate(self, record: int) -> str:
        return f"{self.path}, row {record + 1}"

    def diagnose(self, error: Exception) -> DatasetError:
        return DatasetError(f"{self.path} cannot be read as Parquet: {first_line(error)}")

    def holds_floats(self, column: str) -> bool:
        return column in self._schema and self._schema[column].is_float()

    def kind_of_type(self, column: str) -> Kind | None:
        return Kind.TIMESTAMP if isinstance(self._schema.get(column), (pl.Date, pl.Datetime)) else None

    def readings_of_ids(self) -> Collection[str]:
        possible = set(BYTES_OF_IDS)
        columns = [column for column in self._ids if isinstance(self._schema.get(column), pl.Binary)]
        return possible.intersection(*map(self._readings_of, columns))

    def read_ids_as(self, reading: str) -> None:
        for column in self._ids:
            if isinstance(self._schema.get(column), pl.Binary):
                self._read_as[column] = reading
                log.info("bytes_column", path=str(self.path), column=column, read_as=reading)

    def _scan(self, row_index_name: str | None = None) -> pl.LazyFrame:
        """The file with times in microseconds, UTC if they have a zone. Nanoseconds reach from 1677 to 2262 only, and
        the Int96 of older writers would be set to the end of that range.
        """
        return pl.scan_parquet(
            self.path,
            glob=False,
            row_index_name=row_index_name,
            schema=self._schema,
            cast_options=pl.ScanCastOptions(datetime_cast=["nanosecond-downcast", "convert-timezone"]),
        )

    @cached_property
    def _schema(self) -> pl.Schema:
        os.environ["POLARS_IGNORE_TIMEZONE_PARSE_ERROR"] = "1"  # an offset such as +05:30 is no zone to Polars
        try:
            stored = pl.scan_parquet(self.path, glob=False).collect_schema()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise self.diagnose(error) from error
        return pl.Schema({name: _in_microseconds(dtype) for name, dtype in stored.items()})

    def _shape_of(self, column: str) -> Shape:
        dtype = self._schema[column]
        if isinstance(dtype, pl.Binary):
            return Shape.TEXT if column in self._ids or self._bytes_are(column) != "bytes" else Shape.OTHER
        return _shape(dtype)

    def _text(self, column: str) -> pl.Expr:
        dtype, cell = self._schema[column], column_named(column)
        if isinstance(dtype, (pl.List, pl.Array)):
            inner = _inner(dtype)
            return cell.cast(pl.List(inner)).list.eval(_scalar(pl.element(), inner))
        if isinstance(dtype, pl.Binary):
            match self._bytes_are(column):
                case "text":
                    text = cell.cast(pl.String)
                case "uuids":
                    text = cell.bin.encode("hex").str.replace(_UUID, "$1-$2-$3-$4-$5")
                case _:
                    text = cell.bin.encode("hex")
            return null_if_empty(column, text)
        return null_if_empty(column, _scalar(cell, dtype))

    def _bytes_are(self, column: str) -> str:
        """What a column of bytes holds: one of BYTES_OF_IDS."""
        if column not in self._read_as:
            possible = self._readings_of(column)
            self._read_as[column] = next(reading for reading in BYTES_OF_IDS if reading in possible)
            log.info("bytes_column", path=str(self.path), column=column, read_as=self._read_as[column])
        return self._read_as[column]

    def _readings_of(self, column: str) -> set[str]:
        """The BYTES_OF_IDS as which every cell of a column of bytes can be read."""
        cell = column_named(column)
        readings = self._scan().select(
            text=cell.bin.encode("hex").str.contains(_UTF8).all(),
            uuids=(cell.bin.size() == _UUID_BYTES).all(),
            bytes=True,
        )
        found = self.collect(readings).row(0, named=True)
        return {reading for reading, holds in found.items() if holds}

    @cached_property
    def _read_as(self) -> dict[str, str]:
        return {}


def exact_integers(dtype: pl.DataType) -> float:
    """The bound below which a type of floats holds every integer."""
    return float(2 ** _DIGITS[dtype.base_type()])


def _in_microseconds(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us" if dtype.time_unit == "ns" else dtype.time_unit, dtype.time_zone and "UTC")
    if isinstance(dtype, pl.List):
        return pl.List(_in_microseconds(_inner(dtype)))
    if isinstance(dtype, pl.Array):
        return pl.Array(_in_microseconds(_inner(dtype)), dtype.size)
    return dtype


def _shape(dtype: pl.DataType) -> Shape:
    if isinstance(dtype, (pl.List, pl.Array)):
        return Shape.LIST if _shape(_inner(dtype)) is Shape.TEXT else Shape.OTHER
    if isinstance(dtype, pl.Decimal):
        return Shape.TEXT if dtype.precision <= MOST_DECIMALS else Shape.OTHER
    if isinstance(dtype, pl.Extension):
        return _shape(cast("pl.DataType", dtype.ext_storage()))
    readable = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime, pl.Null)
    if dtype.is_numeric() or isinstance(dtype, readable) or _coordinates(dtype):
        return Shape.TEXT
    return Shape.OTHER


def _scalar(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A cell as text."""
    if dtype.is_float():
        number = (cell.cast(pl.Float64) if isinstance(dtype, pl.Float16) else cell).fill_nan(None)
        whole = (number == number.floor()) & (number.abs() < exact_integers(dtype))
        integer = number.cast(pl.Int64, strict=False)
        return pl.when(whole).then(integer.cast(pl.String)).otherwise(number.cast(pl.String))
    if isinstance(dtype, pl.Decimal):
        written = cell.cast(pl.String)
        fraction = written.str.contains(".", literal=True)
        return pl.when(fraction).then(written.str.strip_chars_end("0").str.strip_chars_end(".")).otherwise(written)
    if isinstance(dtype, pl.Datetime):
        return _moment(cell, _PARTS[dtype.time_unit], dtype.time_unit, "%Y-%m-%dT%H:%M:%SZ")
    if isinstance(dtype, pl.Date):
        return _moment(cell, 1 / 86_400, "days", "%Y-%m-%d")
    if isinstance(dtype, pl.Extension):
        return _scalar(cell.ext.storage(), cast("pl.DataType", dtype.ext_storage()))
    if place := _coordinates(dtype):
        latitude, longitude = (cell.struct.field(name).cast(pl.String).fill_null("") for name in place)
        return pl.when(pl.any_horizontal(cell.struct.field(name).is_not_null() for name in place)).then(
            latitude + "," + longitude
        )
    return cell.cast(pl.String)


def _moment(cell: pl.Expr, parts: float, unit: str, form: str) -> pl.Expr:
    """A date or time as text; as a count since 1970 if it is out of the years 1 to 9999, which Polars cannot write."""
    count = cell.to_physical().cast(pl.Int64)
    inside = count.is_between(math.ceil(FIRST_SECOND * parts), math.floor((LAST_SECOND + 1) * parts) - 1)
    return (
        pl.when(inside)
        .then(pl.when(inside).then(cell).dt.strftime(form))
        .otherwise(pl.format(f"{{}} {unit} since 1970", count))
    )


def _coordinates(dtype: pl.DataType) -> list[str]:
    """The names of latitude and longitude in a struct of two numbers; [] for other types."""
    if not isinstance(dtype, pl.Struct) or not all(_numeric(field.dtype) for field in dtype.fields):
        return []
    names = {field.name.lower(): field.name for field in dtype.fields}
    return [names[name] for name in sorted(names)] if names.keys() in _PLACES else []


def _numeric(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_numeric()


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    """The type of the elements. Polars types it as a class or an instance; a schema holds instances."""
    return cast("pl.DataType", dtype.inner)
