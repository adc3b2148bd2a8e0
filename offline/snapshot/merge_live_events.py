"""Merges a dataset with live events; the newer of two conflicting facts wins."""

from dataclasses import dataclass, replace
from typing import Any

import orjson
import polars as pl
import structlog

from models.schema.columns import CREATED_AT_COLUMN, FLAG_COLUMNS, NAME_COLUMN
from models.system.clock import MICROSECONDS
from offline.dataset.cell_parsing import boolean_cell, location, number, timestamp
from offline.dataset.reader import Dataset
from offline.dataset.table import USER_ID, column_named
from offline.snapshot.live_events import LiveEvents
from offline.snapshot.relationship_state import dataset_order

_TIMESTAMP_US = "\0stamp"
_VALUE = "\0value"
_IS_NEW = "\0is_new"
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Merged:
    """The merged tables."""

    users: pl.DataFrame
    """as offline.dataset.users.Users.frame; includes the users known only from a PUT"""
    connections: pl.DataFrame
    """as offline.dataset.reader.Dataset.connections"""
    interactions: pl.DataFrame
    """as offline.dataset.reader.Dataset.interactions, and `order` Int64 microseconds
    (offline.snapshot.relationship_state.resolve)"""
    until: int
    """latest time covered, epoch seconds: the export or the last live event"""
    erased: frozenset[str]
    """erased users whom the dataset names"""


def with_live(dataset: Dataset, live: LiveEvents) -> Merged:
    """The dataset without erased users, with live events as interactions and profile updates applied.

    An updated column replaces the dataset's if the update is newer than the export, or the dataset lacks the user; a
    flag also if the dataset's is null. Updates that the dataset's columns cannot hold are counted and skipped.
    """
    erased = _erased(dataset, live)
    dataset = _without(dataset, live, erased)
    interactions = dataset.interactions.with_columns(dataset_order(pl.col("at"), dataset.as_of).alias("order"))
    columns = interactions.columns
    return Merged(
        users=_put(dataset.users.frame, live, dataset.as_of),
        connections=dataset.connections,
        interactions=pl.concat([interactions, live.events.select(columns)]),
        until=max(dataset.as_of, live.last // MICROSECONDS),
        erased=erased,
    )


def _erased(dataset: Dataset, live: LiveEvents) -> frozenset[str]:
    """The erased users whom any row of the dataset names."""
    if not len(live.erased):
        return frozenset()
    named = [dataset.users.frame[USER_ID]]
    named += [
        frame[column] for frame in (dataset.connections, dataset.interactions) for column in (USER_ID, "other_id")
    ]
    return frozenset(live.erased.among(pl.concat(named).unique()))


def _without(dataset: Dataset, live: LiveEvents, erased: frozenset[str]) -> Dataset:
    """The dataset without every row that names an erased user.

    Only a PUT restores an erased id, as a new user. If schema.toml dates the export (`as_of`) after that PUT, the
    export describes the new user: rows that are not dated before the erasure are kept.
    """
    if not erased:
        return dataset
    as_of = dataset.as_of * MICROSECONDS if dataset.is_dated else 0
    restored = {one: live.erased.timestamp_us(one) for one in erased if live.returned.get(one, as_of) < as_of}
    dropped = list(erased - restored.keys())
    log.info("erased_users_dropped", users=len(dropped), restored=len(restored))
    frames = [dataset.connections, dataset.interactions]
    for at, timestamp_column in enumerate(("created_at", "at")):
        frame = frames[at].filter(pl.col(USER_ID).is_in(dropped).not_(), pl.col("other_id").is_in(dropped).not_())
        for user_id, timestamp_us in restored.items():
            names = (pl.col(USER_ID) == user_id) | (pl.col("other_id") == user_id)
            before = (pl.col(timestamp_column) <= timestamp_us // MICROSECONDS).fill_null(value=False)
            frame = frame.filter((names & before).not_())
        frames[at] = frame
    users = dataset.users.frame.filter(pl.col(USER_ID).is_in(dropped).not_())
    return replace(dataset, users=replace(dataset.users, frame=users), connections=frames[0], interactions=frames[1])


def _put(users: pl.DataFrame, live: LiveEvents, as_of: int) -> pl.DataFrame:
    """The users with profile updates applied."""
    if not live.profiles:
        return users
    known = set(users[USER_ID])
    new_ids = sorted(live.profiles.keys() - known)
    types: dict[str, pl.DataType] = dict(users.schema)
    own: dict[str, pl.DataType] = {NAME_COLUMN: pl.String(), CREATED_AT_COLUMN: pl.Int64()}
    types = {**own, **types, **dict.fromkeys(FLAG_COLUMNS, pl.Boolean())}
    changed: dict[str, list[tuple[str, int, Any]]] = {}
    for user_id, profile in live.profiles.items():
        for column, (timestamp_us, value) in profile.columns.items():
            changed.setdefault(column, []).append((user_id, timestamp_us, value))
    unknown = sorted(changed.keys() - types.keys())
    if unknown:
        log.info("profile_columns_skipped", columns=unknown, reason="the dataset has no such column")
    frame = pl.concat([users, pl.DataFrame({USER_ID: new_ids}, schema={USER_ID: pl.String})], how="diagonal")
    frame = frame.with_columns(pl.int_range(pl.len()).ge(users.height).alias(_IS_NEW))
    for column in sorted(changed.keys() & types.keys() - {USER_ID}):
        values = _values(column, changed[column], types[column])
        if column not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=types[column]).alias(column))
        newer = pl.col(_TIMESTAMP_US).is_not_null() & ((pl.col(_TIMESTAMP_US) > as_of * MICROSECONDS) | pl.col(_IS_NEW))
        if column in FLAG_COLUMNS:
            newer |= pl.col(_TIMESTAMP_US).is_not_null() & column_named(column).is_null()
        joined = frame.join(values, on=USER_ID, how="left", maintain_order="left")
        frame = joined.with_columns(pl.when(newer).then(_VALUE).otherwise(column_named(column)).alias(column)).drop(
            _TIMESTAMP_US, _VALUE
        )
    named = sorted(column for column in frame.columns if column not in (USER_ID, _IS_NEW))
    return frame.select(USER_ID, *map(column_named, named))


def _values(column: str, changed: list[tuple[str, int, Any]], wanted: pl.DataType) -> pl.DataFrame:
    """`user_id`, time, and the update cast to the dataset's type; unreadable updates are dropped."""
    if isinstance(wanted, pl.List):
        return _rows(changed, [_set_values(value) for _, _, value in changed], wanted)
    frame = _rows(changed, [_text(value) for _, _, value in changed], pl.String())
    text = pl.col(_VALUE)
    match wanted:
        case pl.Float64():
            cells = number(text)
        case pl.Int64():
            cells = timestamp(text)
        case pl.Boolean():
            cells = boolean_cell(_VALUE).value
        case pl.Struct():
            cells = location(text)
        case _:
            cells = text
    readable = frame.with_columns(cells.alias(_VALUE))
    unreadable = frame[_VALUE].is_not_null() & readable[_VALUE].is_null()
    if unreadable.any():
        log.warning("profile_values_skipped", column=column, values=int(unreadable.sum()))
    return readable.filter(~unreadable)


def _rows(changed: list[tuple[str, int, Any]], values: list[Any], dtype: pl.DataType) -> pl.DataFrame:
    ids, timestamps_us = [user_id for user_id, _, _ in changed], [timestamp_us for _, timestamp_us, _ in changed]
    return pl.DataFrame(
        {USER_ID: ids, _TIMESTAMP_US: timestamps_us, _VALUE: values},
        schema={USER_ID: pl.String, _TIMESTAMP_US: pl.Int64, _VALUE: dtype},
    )


def _text(value: Any) -> str | None:
    """The text that a file would hold for an updated value."""
    if value is None or isinstance(value, str):
        return value or None
    return orjson.dumps(value).decode()


def _set_values(value: Any) -> list[str] | None:
    """The values of an updated set, sorted, without empty ones."""
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    return sorted({text for one in values if (text := _text(one))}) or None
