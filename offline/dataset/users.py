"""The table of users."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from models.errors import DatasetError
from models.schema.columns import (
    CREATED_AT_COLUMN,
    FLAG_COLUMNS,
    NAME_COLUMN,
    Kind,
)
from offline.dataset.cell_parsing import (
    Cell,
    cell_of,
    id_cell,
    read_cells,
    truth_cell,
)
from offline.dataset.schema import Schema
from offline.dataset.table import (
    RECORD,
    USER_ID,
    Shape,
    Table,
)
from offline.dataset.type_inference import infer_kind


@dataclass(frozen=True)
class Users:
    """Every person of the users file once."""

    frame: pl.DataFrame
    """`user_id`, then the columns that are read, by name: String for categories, texts and the name, sorted
    List(String) for sets, Float64 for numbers, Int64 epoch seconds for timestamps, Struct(lat, lon) Float64 for
    places, Boolean for the columns of models.schema.columns.FLAG_COLUMNS; null where missing"""
    kinds: Mapping[str, Kind]
    """the columns that are features; the name and the flags are none"""
    inferred: Mapping[str, Kind]
    """the kinds that were inferred, `ignore` included"""
    duplicates: int
    """repeated rows that were dropped"""


def read_users(table: Table, schema: Schema) -> Users:
    """The users of a table, read as the schema says and as inferred where it does not.

    Raises DatasetError about an unknown column of the schema, a bad id, an unreadable cell, or a user who stands there
    twice with different values.
    """
    table.require(USER_ID)
    shapes = table.shapes()
    for column in schema.kinds:
        if shapes and column not in shapes:
            raise schema.refuse(column, f"column {column!r}: {table.path} has no such column")
    kinds = {column: kind for column, kind in schema.kinds.items() if column in shapes} | _own_kinds(schema, shapes)
    wanted = [column for column in sorted(shapes) if column != USER_ID and kinds.get(column) is not Kind.IGNORE]
    for column in wanted:
        if shapes[column] is Shape.OTHER:
            what = "objects or nested values, which no kind reads"
            raise DatasetError(f'{table.path}, column {column!r}: holds {what}; declare it "ignore"')
    raw = table.collect(table.rows([USER_ID, *wanted]))
    inferred = {
        column: infer_kind(column, raw[column], shapes[column], splits_sets=table.splits_sets)
        for column in wanted
        if column not in kinds
    }
    kinds |= inferred
    read = [column for column in wanted if kinds[column] is not Kind.IGNORE]
    cells = [id_cell(USER_ID), *[_cell(column, kinds[column], shapes[column], table) for column in read]]
    frame = read_cells(table, raw.lazy(), cells)
    once = _without_repeats(table, frame)
    features = {column: kinds[column] for column in read if column != NAME_COLUMN and column not in FLAG_COLUMNS}
    return Users(once.drop(RECORD), features, inferred, frame.height - once.height)


def _own_kinds(schema: Schema, shapes: Mapping[str, Shape]) -> dict[str, Kind]:
    """The kinds of the columns with a meaning of their own, unless the schema ignores them."""
    own = {NAME_COLUMN: Kind.TEXT, CREATED_AT_COLUMN: Kind.TIMESTAMP} | dict.fromkeys(FLAG_COLUMNS, Kind.CATEGORICAL)
    return {column: kind for column, kind in own.items() if column in shapes and column not in schema.kinds}


def _cell(column: str, kind: Kind, shape: Shape, table: Table) -> Cell:
    if column in FLAG_COLUMNS and shape is Shape.TEXT:
        return truth_cell(column)
    return cell_of(kind, column, shape, splits_sets=table.splits_sets)


def _without_repeats(table: Table, users: pl.DataFrame) -> pl.DataFrame:
    """The users less the rows that repeat an earlier one. Raises DatasetError where a repeat says something else."""
    repeated = users.filter(pl.col(USER_ID).is_duplicated())
    if repeated.is_empty():
        return users
    said = [column for column in users.columns if column != RECORD]
    versions = repeated.unique(said, keep="first", maintain_order=True)
    conflict = versions.filter(pl.col(USER_ID).is_duplicated()).sort(RECORD)
    if conflict.height:
        user_id = conflict[USER_ID].item(0)
        first, second, *_ = conflict.filter(pl.col(USER_ID) == user_id)[RECORD]
        other = f"{user_id!r} stands here with other values than in {table.place(first)}"
        raise DatasetError(f"{table.place(second)}, column {USER_ID!r}: {other}")
    return users.unique(USER_ID, keep="first", maintain_order=True)
