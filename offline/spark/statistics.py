"""Statistics of everybody's neighbourhood as a Spark job, as models.features.user_statistics has them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.features.user_statistics import LARGEST_SAMPLE
from offline.spark.config import SparkConfig
from offline.spark.salting import salted_join

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def neighbourhoods(adjacency: "DataFrame", config: SparkConfig) -> "DataFrame":
    """`row`, `clustering` and `friends_log_degree` float of everybody with friends.

    Clustering is the share of pairs among at most LARGEST_SAMPLE friends, evenly spaced, who are friends themselves;
    the other is the mean of ln(1 + friends) over all friends. `adjacency` is that of offline.spark.adjacency.
    """
    from pyspark.sql import functions as sf

    count = sf.size("friends")
    stride = sf.greatest(count / float(LARGEST_SAMPLE), sf.lit(1.0))
    looked = sf.least(count, sf.lit(LARGEST_SAMPLE))
    logarithms = sf.transform("marks", lambda mark: sf.log1p(sf.floor(mark / 2)))
    mean = sf.aggregate(logarithms, sf.lit(0.0), lambda total, one: total + one) / count
    people = adjacency.select("row", "friends", looked.alias("looked"), stride.alias("stride"), mean.alias("mean"))
    places = sf.transform(
        sf.sequence(sf.lit(0), sf.col("looked") - 1), lambda at: sf.floor(at * sf.col("stride")).cast("int")
    )
    sample = sf.transform(places, lambda at: sf.get("friends", at))
    sampled = people.select("row", "looked", "mean", sample.alias("sample"))
    # of each friend looked at, how many of the others are friends of hers
    requests = sampled.where(sf.col("looked") > 1).select(
        sf.col("row").alias("person"), "sample", sf.explode("sample").alias("row")
    )
    found = salted_join(requests, adjacency.select("row", "friends"), "row", "person", config)
    closed = found.groupBy(sf.col("person").alias("row")).agg(
        sf.sum(sf.size(sf.array_intersect("sample", "friends"))).alias("closed")
    )
    pairs = sf.greatest(sf.col("looked") * (sf.col("looked") - 1), sf.lit(1))
    clustering = sf.coalesce(sf.col("closed"), sf.lit(0)) / pairs
    return sampled.join(closed, "row", "left").select(
        "row", clustering.cast("float").alias("clustering"), sf.col("mean").cast("float").alias("friends_log_degree")
    )


def read_neighbourhoods(directory: Path, n: int) -> NDArray[np.float32]:
    """(n, 2) float32: both statistics of everybody, 0 without friends."""
    made = np.zeros((n, 2), np.float32)
    for path in sorted(directory.glob("*.parquet")):
        found = pq.ParquetFile(path).read()
        rows = found["row"].to_numpy()
        made[rows, 0], made[rows, 1] = found["clustering"].to_numpy(), found["friends_log_degree"].to_numpy()
    return made
