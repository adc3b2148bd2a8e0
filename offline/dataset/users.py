"""The table of users."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs
import structlog

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN, FLAG_COLUMNS, NAME_COLUMN, Kind
from offline.dataset.cell_parsing import Cell, boolean_cell, cell_of, id_cell, read_cells
from offline.dataset.null_words import counts, emptied
from offline.dataset.schema import Schema
from offline.dataset.table import CELLS, RECORD, USER_ID, Shape, Table
from offline.dataset.type_inference import infer_kind

ROW_NUMBERS = re.compile(r"__index_level_\d+__$|Unnamed: \d+(\.\d+|_level_\d+)?$")
"""names that pandas gives to the numbers of rows in Parquet and in CSV: features of nothing"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Users:
    """Every user of the users file, once."""

    frame: pl.DataFrame
    """`user_id`, then the parsed columns by name: String for categories, texts and the name, sorted List(String) for
    sets, Float64 for numbers, Int64 epoch seconds for timestamps, Struct(lat, lon) Float64 for locations, Boolean for
    the columns of models.schema.columns.FLAG_COLUMNS; null if missing"""
    kinds: Mapping[str, Kind]
    """the feature columns, so neither the name nor the flags"""
    inferred: Mapping[str, Kind]
    """the kinds that were inferred, `ignore` included"""
    duplicates: int
    """duplicate rows that were dropped"""
    emptied: Mapping[str, int] = field(default_factory=dict)
    """cells that were taken for empty because of a null word, by column"""


def read_users(table: Table | None, schema: Schema) -> Users:
    """The users of a table, by the declared kinds and by inferred kinds for the other columns; nobody without a table.

    Raises DatasetError for an unknown column of the schema, a bad id, an unreadable cell, or a user with two different
    rows.
    """
    if table is None:
        for column in schema.kinds:
            raise schema.refuse(column, f"column {column!r}: there is no table of users beside {schema.path.name}")
        return Users(pl.DataFrame(schema={USER_ID: pl.String}), {}, {}, 0)
    table.require(USER_ID)
    shapes = table.shapes()
    for column in schema.kinds:
        if shapes and column not in shapes:
            raise schema.refuse(column, f"column {column!r}: {table.path} has no such column")
    if mistaken := mistaken_flag([column for column in shapes if column not in schema.kinds]):
        column, flag = mistaken
        hint = f"call it {flag}, or declare the kind of {column!r} in schema.toml if it is another thing"
        raise DatasetError(f"{table.path}, column {column!r}: it is no flag under this name: {hint}")
    kinds = {column: kind for column, kind in schema.kinds.items() if column in shapes} | _own_kinds(schema, shapes)
    numbering = [column for column in shapes if ROW_NUMBERS.match(column) and column not in kinds]
    if numbering:
        log.info("columns_left_out", columns=sorted(numbering), reason="they number the rows of a pandas table")
    kinds |= dict.fromkeys(numbering, Kind.IGNORE)
    wanted = [column for column in sorted(shapes) if column != USER_ID and kinds.get(column) is not Kind.IGNORE]
    for column in wanted:
        if shapes[column] is Shape.OTHER:
            raise DatasetError(f'{table.unreadable(column)}, which no kind can parse; declare it "ignore"')
    written = table.collect(table.rows([USER_ID, *wanted]))
    raw = emptied(written.lazy(), table.null_words, (USER_ID,)).collect()
    inferred = {
        column: table.kind_of_type(column)
        or infer_kind(column, raw[column].alias(CELLS), shapes[column], splits_sets=table.splits_sets)
        for column in wanted
        if column not in kinds
    }
    kinds |= inferred
    read = [column for column in wanted if kinds[column] is not Kind.IGNORE]
    cells = [
        id_cell(USER_ID, floats=table.holds_floats(USER_ID)),
        *[_cell(column, kinds[column], shapes[column], table) for column in read],
    ]
    frame = read_cells(table, raw.lazy(), cells)
    once = _without_repeats(table, frame)
    features = {column: kinds[column] for column in read if column != NAME_COLUMN and column not in FLAG_COLUMNS}
    return Users(once.drop(RECORD), features, inferred, frame.height - once.height, counts(written, raw))


def mistaken_flag(columns: Collection[str]) -> tuple[str, str] | None:
    """A column that is called like a flag but for case, spaces, marks or an `is`, and that flag, if it is missing."""
    flags = {flag.replace("_", ""): flag for flag in FLAG_COLUMNS if flag not in columns}
    for column in columns:
        letters = re.sub(r"[^a-z]", "", column.lower())
        if flag := flags.get(letters) or flags.get(letters.removeprefix("is")):
            return column, flag
    return None


def _own_kinds(schema: Schema, shapes: Mapping[str, Shape]) -> dict[str, Kind]:
    """The kinds of the built-in columns, unless the schema ignores them."""
    own = {NAME_COLUMN: Kind.TEXT, CREATED_AT_COLUMN: Kind.TIMESTAMP} | dict.fromkeys(FLAG_COLUMNS, Kind.CATEGORICAL)
    return {column: kind for column, kind in own.items() if column in shapes and column not in schema.kinds}


def _cell(column: str, kind: Kind, shape: Shape, table: Table) -> Cell:
    if column in FLAG_COLUMNS and shape is Shape.TEXT:
        return boolean_cell(column)
    return cell_of(kind, column, shape, splits_sets=table.splits_sets, null_words=table.null_words)


def _without_repeats(table: Table, users: pl.DataFrame) -> pl.DataFrame:
    """The users without duplicate rows. Raises DatasetError if a duplicate has different values."""
    repeated = users.filter(pl.col(USER_ID).is_duplicated())
    if repeated.is_empty():
        return users
    compared = cs.all() - cs.by_name(RECORD)
    versions = repeated.unique(compared, keep="first", maintain_order=True)
    conflict = versions.filter(pl.col(USER_ID).is_duplicated()).sort(RECORD)
    if conflict.height:
        user_id = conflict[USER_ID].item(0)
        first, second, *_ = conflict.filter(pl.col(USER_ID) == user_id)[RECORD]
        other = f"{user_id!r} has other values here than in {table.locate(first)}"
        raise DatasetError(f"{table.locate(second)}, column {USER_ID!r}: {other}")
    return users.unique(USER_ID, keep="first", maintain_order=True)
