"""The readers of connections and interactions."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from models.schema.columns import CREATED_AT_COLUMN
from models.schema.event_kinds import EventKind
from offline.dataset.cell_parsing import Cell, id_cell, meaning, read_cells, timestamp_cell
from offline.dataset.null_words import emptied
from offline.dataset.table import OTHER_ID, RECORD, USER_ID, Table

KIND, AT = "kind", "at"

_CODES = {kind.word: int(kind) for kind in EventKind}


def read_connections(table: Table) -> pl.DataFrame:
    """The friendships in the order of the file: `user_id`, `other_id` String, `created_at` Int64 epoch seconds or null.

    Self-connections and duplicates are kept. Raises DatasetError for a missing column, a bad id or an unreadable cell.
    """
    table.require(USER_ID)
    table.require(OTHER_ID)
    dated = table.has(CREATED_AT_COLUMN)
    columns = [USER_ID, OTHER_ID, *([CREATED_AT_COLUMN] if dated else [])]
    cells = [*_ids(table), *([timestamp_cell(CREATED_AT_COLUMN)] if dated else [])]
    pairs = _read(table, columns, cells)
    return pairs if dated else pairs.with_columns(pl.lit(None, dtype=pl.Int64).alias(CREATED_AT_COLUMN))


def read_interactions(table: Table) -> pl.DataFrame:
    """The interactions in the order of the file: `user_id`, `other_id` String, `kind` UInt8 code of EventKind, `at`
    Int64 epoch seconds.

    Self-interactions and duplicates are kept. Raises DatasetError for a missing column, a bad id, an unknown kind, an
    unreadable or empty cell.
    """
    columns = [USER_ID, OTHER_ID, KIND, AT]
    for column in columns:
        table.require(column)
    code = pl.col(KIND).replace_strict(_CODES, default=None, return_dtype=pl.UInt8)
    known = Cell(KIND, code, meaning(KIND).is_null(), f"is not a kind of event ({', '.join(_CODES)})")
    filled = replace(timestamp_cell(AT), bad=meaning(AT).is_null())
    return _read(table, columns, [*_ids(table), known, filled])


def _ids(table: Table) -> list[Cell]:
    return [id_cell(column, floats=table.holds_floats(column)) for column in (USER_ID, OTHER_ID)]


def _read(table: Table, columns: Sequence[str], cells: Sequence[Cell]) -> pl.DataFrame:
    """The parsed cells, part by part: the texts of a whole file would take as much memory again."""
    frames = (emptied(part, table.null_words, (USER_ID, OTHER_ID)) for part in table.parts(columns))
    return pl.concat([read_cells(table, frame, cells).drop(RECORD) for frame in frames], rechunk=False)
