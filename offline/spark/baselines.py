"""The baselines by mutual friends as Spark jobs, for a sample of viewers, as offline.evaluation.baselines has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from offline.evaluation.baselines import (
    ADAMIC_ADAR,
    COMMON_NEIGHBOURS,
    JACCARD,
    RESOURCE_ALLOCATION,
    RESOURCE_ALLOCATION_OF_LATE,
    Lists,
)
from offline.spark.config import SparkConfig
from offline.spark.salting import salted_join

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

BY_MUTUAL_FRIENDS = (COMMON_NEIGHBOURS, ADAMIC_ADAR, RESOURCE_ALLOCATION, JACCARD)


def scored_pairs(
    viewers: "DataFrame", adjacency: "DataFrame", people: "DataFrame", config: SparkConfig, *, dated: bool
) -> "DataFrame":
    """`viewer`, `other`, `degree` of the other, `hash` and a column a baseline, of all pairs with a mutual friend.

    Without friends, known people and those who may not be shown. `viewers` has `viewer` and `known`, `adjacency` is
    that of offline.spark.adjacency, `people` has `row` and `late`.
    """
    from pyspark.sql import functions as sf

    # from the viewer over each friend to the friend's friends
    friends = adjacency.select("row", "friends")
    own = viewers.select(sf.col("viewer").alias("row"), "known").join(friends, "row").withColumnRenamed("row", "viewer")
    requests = own.select("viewer", sf.explode("friends").alias("row"))
    paths = salted_join(requests, adjacency, "row", "viewer", config)
    weight = sf.greatest(sf.size("friends"), sf.lit(2))  # of degree 1 is no mutual friend; 2 keeps formulas finite
    reached = paths.select(
        "viewer", weight.alias("through"), sf.explode(sf.arrays_zip("friends", "marks")).alias("end")
    )
    sums = reached.groupBy("viewer", sf.col("end.friends").alias("other"), sf.col("end.marks").alias("mark")).agg(
        sf.count("*").alias(COMMON_NEIGHBOURS),
        sf.sum(1 / sf.log("through")).alias(ADAMIC_ADAR),
        sf.sum(1 / sf.col("through")).alias(RESOURCE_ALLOCATION),
    )
    # whom the viewer may be shown
    shown = sums.where((sf.col("mark") % 2 == 1) & (sf.col("other") != sf.col("viewer")))
    hidden = own.select("viewer", sf.explode(sf.concat("friends", "known")).alias("other")).distinct()
    degrees = own.select("viewer", sf.size("friends").alias("own"))
    scored = shown.join(hidden, ["viewer", "other"], "left_anti").join(degrees, "viewer")
    scored = scored.withColumn("degree", sf.floor(sf.col("mark") / 2).cast("int"))
    union = sf.col("own") + sf.col("degree") - sf.col(COMMON_NEIGHBOURS)
    scored = scored.withColumn(JACCARD, sf.col(COMMON_NEIGHBOURS) / union).drop("own", "mark")
    if dated:
        late = people.select(sf.col("row").alias("other"), "late")
        of_late = (sf.col(RESOURCE_ALLOCATION) * sf.col("late")).alias(RESOURCE_ALLOCATION_OF_LATE)
        scored = scored.join(late, "other").select(*scored.columns, of_late)
    columns = ", ".join(f"{name} {kind}" for name, kind in scored.dtypes)
    return scored.mapInArrow(_hashed, f"{columns}, hash long")


def write_best(scored: "DataFrame", methods: tuple[str, ...], limit: int, directory: Path) -> None:
    """The `limit` first of each viewer by each method: `method`, `viewer`, `place` from 1, `other`.

    In the order of offline.evaluation.full_ranking: equal as float32, those with more friends come first, then a hash.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as sf

    kept = scored.persist()
    for method in methods:
        score = sf.col(method).cast("float")
        order = Window.partitionBy("viewer").orderBy(sf.desc(score), sf.desc("degree"), "hash")
        placed = kept.where(score > 0).withColumn("place", sf.row_number().over(order)).where(sf.col("place") <= limit)
        named = placed.select(sf.lit(method).alias("method"), "viewer", "place", "other")
        named.write.mode("append").parquet(directory.as_uri())
    kept.unpersist()


def read_best(directory: Path, users: NDArray[np.int64], methods: tuple[str, ...], limit: int) -> dict[str, Lists]:
    """For each method the best rows for each of `users` (U,), ascending: (U, limit) int32, -1 past the last."""
    lists = {method: np.full((len(users), limit), -1, np.int32) for method in methods}
    for path in sorted(directory.glob("*.parquet")):
        found = pq.ParquetFile(path).read()
        method = np.asarray(found["method"].to_pylist(), dtype=object)
        at = np.searchsorted(users, found["viewer"].to_numpy())
        for name in methods:
            mine = method == name
            lists[name][at[mine], found["place"].to_numpy()[mine] - 1] = found["other"].to_numpy()[mine]
    return lists


def _hashed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches with a column more: the hash of each viewer and other that breaks ties."""
    from offline.spark.tasks.reach import tie_hashes

    for batch in batches:
        hashes = tie_hashes(batch["viewer"].to_numpy(), batch["other"].to_numpy())
        yield pa.RecordBatch.from_arrays([*batch.columns, pa.array(hashes)], [*batch.schema.names, "hash"])
