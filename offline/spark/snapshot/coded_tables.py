"""The tables of a snapshot by rows, as Spark jobs: what offline.snapshot.coded_tables computes on one machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.datatypes import DataTypeClass

from offline.snapshot.coded_tables import CodedTables
from offline.snapshot.merge_live_events import Merged
from offline.snapshot.relationship_state import RelationshipState
from offline.spark.config import SparkConfig
from offline.spark.graph_tables import read, write
from offline.spark.salting import salted_join
from offline.spark.snapshot.relationships import connected_pairs, forbidden_pairs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def coded_tables(
    session: "SparkSession", config: SparkConfig, directory: Path, merged: Merged, as_of: int, forbidden_days: int
) -> CodedTables:
    """The coded tables of a merged dataset; `directory` takes what goes in and comes out, as Parquet."""
    from pyspark.sql import functions as sf

    directory.mkdir(parents=True)
    merged.users.select("user_id").write_parquet(directory / "users.parquet")
    merged.connections.write_parquet(directory / "connections.parquet")
    merged.interactions.write_parquet(directory / "interactions.parquet")
    users, connections, interactions = (
        read(session, directory / f"{name}.parquet") for name in ("users", "connections", "interactions")
    )
    # ids to rows
    _write_numbered(session, _every_id(users, connections, interactions), directory)
    ids = read(session, directory / "ids")
    write(_coded(connections, ids, "a", "b", config), directory / "pairs")
    write(_coded(interactions, ids, "user", "other", config), directory / "events")
    # without self-pairs and duplicates
    pairs, events = read(session, directory / "pairs"), read(session, directory / "events")
    ordered, others = _ordered(pairs), events.where(sf.col("user") != sf.col("other"))
    write(others.distinct(), directory / "interactions")
    done = read(session, directory / "interactions")
    # the state of every pair
    write(connected_pairs(ordered, done, as_of), directory / "connected")
    connected = read(session, directory / "connected")
    write(forbidden_pairs(connected, done, merged.until, forbidden_days), directory / "forbidden")
    counted, distinct = ordered.count(), ordered.select("a", "b").distinct().count()
    all_others, made = others.count(), _frame(directory / "interactions", user=pl.Int32, other=pl.Int32, kind=pl.UInt8)
    state = RelationshipState(
        _frame(directory / "connected", a=pl.Int32, b=pl.Int32, created_at=pl.Int64).sort("a", "b"),
        _frame(directory / "forbidden", viewer=pl.Int32, other=pl.Int32, kinds=pl.UInt8).sort("viewer", "other"),
    )
    return CodedTables(
        ids=_frame(directory / "ids", user_id=pl.String, row=pl.Int32).sort("row"),
        state=state,
        interactions=made,
        duplicate_connections=counted - distinct,
        self_connections=pairs.count() - counted,
        duplicate_interactions=all_others - made.height,
        self_interactions=events.count() - all_others,
    )


def _every_id(users: "DataFrame", *pairs: "DataFrame") -> "DataFrame":
    """`user_id`: every id of any table, once."""
    every = users.select("user_id")
    for frame in pairs:
        every = every.unionByName(frame.select("user_id")).union(frame.select("other_id"))
    return every.distinct()


def _write_numbered(session: "SparkSession", ids: "DataFrame", directory: Path) -> None:
    """Writes `user_id`, `row` int: ids numbered from 0 in the order of their UTF-8 bytes.

    Sorted in parts; the driver sees how many each part holds.
    """
    from pyspark.sql import functions as sf

    write(ids, directory / "distinct_ids")
    parts = read(session, directory / "distinct_ids").repartitionByRange("user_id").sortWithinPartitions("user_id")
    # the upper bits are the part, the lower ones the place in it
    placed = parts.withColumn("number", sf.monotonically_increasing_id())
    write(placed, directory / "placed_ids")
    split = read(session, directory / "placed_ids").select(
        "user_id", sf.shiftright("number", 33).alias("part"), sf.col("number").bitwiseAND((1 << 33) - 1).alias("place")
    )
    starts, before = list[tuple[int, int]](), 0
    for part, count in sorted((one["part"], one["count"]) for one in split.groupBy("part").count().collect()):
        starts.append((part, before))
        before += count
    start = sf.broadcast(session.createDataFrame(starts, "part long, start long"))
    row = (sf.col("start") + sf.col("place")).cast("int").alias("row")
    write(split.join(start, "part").select("user_id", row), directory / "ids")


def _coded(pairs: "DataFrame", ids: "DataFrame", first: str, second: str, config: SparkConfig) -> "DataFrame":
    """The pairs with rows in place of ids, the other columns unchanged."""
    rest = [column for column in pairs.columns if column not in ("user_id", "other_id")]
    half = salted_join(pairs, ids.withColumnRenamed("row", first), "user_id", "other_id", config)
    others = ids.withColumnsRenamed({"row": second, "user_id": "other_id"})
    return salted_join(half.drop("user_id"), others, "other_id", first, config).select(first, second, *rest)


def _ordered(pairs: "DataFrame") -> "DataFrame":
    """`a` < `b`, `created_at`, without self-pairs."""
    from pyspark.sql import functions as sf

    low, high = sf.least("a", "b").alias("a"), sf.greatest("a", "b").alias("b")
    return pairs.where("a <> b").select(low, high, "created_at")


def _frame(directory: Path, **types: DataTypeClass) -> pl.DataFrame:
    """What a job wrote, with the first columns of these types."""
    frame = pl.read_parquet(sorted(directory.glob("*.parquet")), glob=False)
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in types.items())
