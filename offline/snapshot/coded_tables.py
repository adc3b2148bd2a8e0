"""Rows in place of ids: the users of a snapshot in their order, and every table by their rows."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from offline.snapshot.merge_live_events import Merged
from offline.snapshot.relationship_state import RelationshipState, resolve


@dataclass(frozen=True)
class CodedTables:
    """The tables of a snapshot by rows, without self-pairs and duplicates, and what was dropped."""

    ids: pl.DataFrame
    """`user_id`, sorted by its UTF-8 bytes, and `row` Int32 from 0"""
    state: RelationshipState
    interactions: pl.DataFrame
    """distinct, in any order: `user`, `other` Int32, `kind` UInt8, `at`, `order` Int64"""
    duplicate_connections: int
    self_connections: int
    duplicate_interactions: int
    self_interactions: int


CodeTables = Callable[[Merged, int, int], CodedTables]
"""codes merged tables, from the time of the export and the days that a refusal forbids"""


def code_tables(merged: Merged, as_of: int, forbidden_days: int) -> CodedTables:
    """The coded tables of a merged dataset, computed in this process."""
    ids = _ids(merged)
    connections = _rows_of(merged.connections, ids, "a", "b")
    interactions = _rows_of(merged.interactions, ids, "user", "other")
    pairs, loops = _without_loops(connections, "a", "b")
    done, self_interactions = _without_loops(interactions, "user", "other")
    ordered = pairs.select(pl.min_horizontal("a", "b").alias("a"), pl.max_horizontal("a", "b").alias("b"), "created_at")
    events = done.unique()
    return CodedTables(
        ids=ids,
        state=resolve(ordered, events, as_of=as_of, forbidden_days=forbidden_days, until=merged.until),
        interactions=events,
        duplicate_connections=ordered.height - _distinct_pairs(ordered),
        self_connections=loops,
        duplicate_interactions=done.height - events.height,
        self_interactions=self_interactions,
    )


def _ids(dataset: Merged) -> pl.DataFrame:
    """Every id of any table, sorted by its UTF-8 bytes, and its `row` Int32."""
    pairs = [
        frame.lazy().select(pl.col(column).alias("user_id"))
        for frame in (dataset.connections, dataset.interactions)
        for column in ("user_id", "other_id")
    ]
    every = pl.concat([dataset.users.lazy().select("user_id"), *pairs])
    ids = every.unique().sort("user_id").collect(engine="streaming")
    return ids.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias("row"))


def _rows_of(pairs: pl.DataFrame, ids: pl.DataFrame, first: str, second: str) -> pl.DataFrame:
    """The pairs with rows in place of ids, the other columns unchanged."""
    rows = ids.lazy()
    coded = (
        pairs.lazy()
        .join(rows.rename({"row": first}), on="user_id", how="left")
        .join(rows.rename({"row": second, "user_id": "other_id"}), on="other_id", how="left")
    )
    rest = [column for column in pairs.columns if column not in ("user_id", "other_id")]
    return coded.select(first, second, *rest).collect(engine="streaming")


def _distinct_pairs(pairs: pl.DataFrame) -> int:
    """The number of distinct (a, b), counted as one integer each, several times faster than as two columns."""
    return pairs.select(key=pl.col("a").cast(pl.Int64) * 2**32 + pl.col("b"))["key"].n_unique()


def _without_loops(pairs: pl.DataFrame, first: str, second: str) -> tuple[pl.DataFrame, int]:
    """The pairs of two different users, and how many pairs were dropped."""
    kept = pairs.filter(pl.col(first) != pl.col(second))
    return kept, pairs.height - kept.height
