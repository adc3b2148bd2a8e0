"""Encodes the profile columns of a snapshot: as coded arrays for features, as JSON for the service."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.schema.columns import Kind
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
    TextColumn,
    TimestampColumn,
)
from offline.dataset.table import CELLS, column_named


def code_profiles(users: pl.DataFrame, kinds: Mapping[str, Kind]) -> Profiles:
    """The columns of `kinds` as arrays, sorted by name; row k of the frame is row k of the arrays.

    Column types are those of offline.dataset.users.Users.frame.
    """
    return Profiles(users.height, {name: _coded(users[name].alias(CELLS), kinds[name]) for name in sorted(kinds)})


def concatenated(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Concatenated UTF-8 of the texts, (bytes,) uint8, and (k + 1,) int64 offsets; null is empty."""
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(texts.str.len_bytes().fill_null(0).to_numpy(), out=offsets[1:])
    joined: str = texts.str.join("").item() if len(texts) else ""
    return np.frombuffer((joined or "").encode(), dtype=np.uint8), offsets


def profile_json(users: pl.DataFrame) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every profile as a JSON object of the filled columns, in the order of the frame, without `user_id`.

    Returns the concatenated UTF-8, (bytes,) uint8, and (n + 1,) int64 offsets. A user without a filled column has zero
    bytes. Sets are lists, numbers are numbers (integers if the whole column has only such), locations `"lat,lon"`,
    timestamps ISO 8601 in UTC, flags booleans.
    """
    columns = [column for column in users.columns if column != "user_id"]
    if not columns:
        return np.zeros(0, dtype=np.uint8), np.zeros(users.height + 1, dtype=np.int64)
    members = users.select(_member(column, users[column].alias(CELLS)) for column in columns)
    inside = pl.concat_str([column_named(column) for column in columns], separator=",", ignore_nulls=True)
    whole = pl.when(inside != "").then(pl.concat_str(pl.lit("{"), inside, pl.lit("}"))).alias("json")
    return concatenated(members.select(whole)["json"])


def _coded(cells: pl.Series, kind: Kind) -> Column:
    match kind:
        case Kind.CATEGORICAL:
            codes, values = _codes(cells)
            return CategoricalColumn(codes, values)
        case Kind.MULTI:
            indptr = np.zeros(len(cells) + 1, dtype=np.int64)
            np.cumsum(cells.list.len().fill_null(0).to_numpy(), out=indptr[1:])
            codes, values = _codes(cells.drop_nulls().explode())
            return MultiColumn(indptr, codes, values)
        case Kind.NUMERIC:
            return NumericColumn(_floats(cells))
        case Kind.TIMESTAMP:
            return TimestampColumn(_floats(cells))
        case Kind.LOCATION:
            degrees = [_floats(cells.struct.field(axis)) for axis in ("lat", "lon")]
            return LocationColumn(np.stack(degrees, axis=1).astype(np.float32))
        case Kind.TEXT:
            return TextColumn(cells.to_list())
    raise ValueError(f"a column of kind {kind} is not a feature: choose another kind")


def _codes(cells: pl.Series) -> tuple[NDArray[np.int32], list[str]]:
    """(k,) int32 codes, -1 for null, and their values, sorted."""
    values = cells.drop_nulls().unique().sort()
    codes = cells.cast(pl.Enum(values)).to_physical().cast(pl.Int32).fill_null(-1)
    return codes.to_numpy().copy(), values.to_list()


def _floats(cells: pl.Series) -> NDArray[np.float64]:
    return cells.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()


def _member(column: str, cells: pl.Series) -> pl.Expr:
    """The column as members of a JSON object, `"column":value`; null if the cell is null."""
    cell = column_named(column)
    if (
        cells.dtype == pl.Float64
        and cells.drop_nulls().round().equals(cells.drop_nulls())
        and cells.abs().lt(2**53).all()
    ):
        value = cell.cast(pl.Int64)
    elif cells.dtype == pl.Int64:
        value = pl.from_epoch(cell, "s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    elif isinstance(cells.dtype, pl.Struct):
        value = pl.concat_str(cell.struct.field("lat"), cell.struct.field("lon"), separator=",")
    else:
        value = cell
    written = pl.struct(value.alias(column)).struct.json_encode()
    member = written.str.strip_prefix("{").str.strip_suffix("}")
    return pl.when(cell.is_not_null()).then(member).alias(column)
