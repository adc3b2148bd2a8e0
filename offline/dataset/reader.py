"""The dataset directory as a whole."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import structlog

from models.errors import DatasetError
from models.schema.columns import REASON_KINDS, Kind
from offline.dataset.pairs import read_connections, read_interactions
from offline.dataset.schema import SCHEMA_FILE, Schema, read_schema
from offline.dataset.table import BYTES_OF_IDS, Table
from offline.dataset.table_files import CHOICES, TABLES, find_table
from offline.dataset.type_inference import default_reasons
from offline.dataset.users import Users, read_users

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A dataset directory after parsing and validation; pairs still hold self-pairs and duplicates."""

    users: Users
    connections: pl.DataFrame
    """`user_id`, `other_id` String, `created_at` Int64 epoch seconds or null"""
    interactions: pl.DataFrame
    """`user_id`, `other_id` String, `kind` UInt8 code of models.schema.event_kinds.EventKind, `at` Int64 epoch
    seconds"""
    as_of: int
    """time of the export in seconds since 1970 UTC, never after the start of the run"""
    reason_columns: list[str]
    """the columns that may be shown as a reason, sorted by name"""
    is_dated: bool = False
    """whether schema.toml sets `as_of`"""


def read_dataset(directory: Path, *, started_at: dt.datetime) -> Dataset:
    """Returns the dataset of a directory; writes nothing.

    `started_at` is the start of the run, with a time zone; a later `as_of` is set back to it. Logs the inferred kinds
    and the reason columns. Raises DatasetError with file, line, column and value.
    """
    if not directory.is_dir():
        raise DatasetError(f"{directory} is not a directory; name one with users, connections and any interactions")
    schema = read_schema(directory / SCHEMA_FILE)
    people, pairs, events = (find_table(directory, name, schema) for name in TABLES)
    if pairs is None:
        raise DatasetError(f"{directory} holds no connections: it needs connections{CHOICES}")
    _agree_on_ids([table for table in (people, pairs, events) if table is not None])
    if people is None:
        log.warning("no_users", effect="nobody has a profile, and nobody is kept from being suggested")
    users = read_users(people, schema)
    reasons = _reason_columns(schema, people, users.kinds)
    connections = read_connections(pairs)
    interactions = read_interactions(events) if events else _no_interactions()
    if users.inferred:
        log.info("kinds_inferred", columns={column: str(kind) for column, kind in users.inferred.items()})
    if users.emptied:
        log.info("null_words_read_as_empty", words=schema.null_words, cells=dict(users.emptied))
    log.info("reason_columns", columns=reasons, chosen_by="schema.toml" if schema.reasons is not None else "name")
    return Dataset(users, connections, interactions, _as_of(schema, started_at), reasons, schema.as_of is not None)


def _agree_on_ids(tables: Sequence[Table]) -> None:
    """Has ids of bytes read alike in all tables: a short column of bytes may look like text by chance."""
    possible = set(BYTES_OF_IDS).intersection(*(table.readings_of_ids() for table in tables))
    for table in tables:
        table.read_ids_as(next(reading for reading in BYTES_OF_IDS if reading in possible))


def _as_of(schema: Schema, started_at: dt.datetime) -> int:
    start = int(started_at.timestamp() // 1)
    if schema.as_of is not None and schema.as_of > start:
        log.warning("as_of_after_start", taken="the start of the run", as_of=schema.as_of, started_at=start)
    return start if schema.as_of is None else min(schema.as_of, start)


def _reason_columns(schema: Schema, table: Table | None, kinds: Mapping[str, Kind]) -> list[str]:
    if schema.reasons is None:
        return default_reasons(dict(kinds))
    for column in schema.reasons:
        if table is None or column not in table.shapes():
            where = "there is no table of users" if table is None else f"{table.path} has no such column"
            raise schema.refuse(column, f"[reasons] column {column!r}: {where}")
        if kinds.get(column) not in REASON_KINDS:
            kind = kinds.get(column, "no feature")
            raise schema.refuse(column, f"[reasons] column {column!r} is {kind}: a reason is categorical or multi")
    return sorted(schema.reasons)


def _no_interactions() -> pl.DataFrame:
    return pl.DataFrame(schema={"user_id": pl.String, "other_id": pl.String, "kind": pl.UInt8, "at": pl.Int64})
