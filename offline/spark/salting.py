"""Joins that no key makes slow: what many rows ask for is copied, and each copy answers a part of them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from offline.spark.config import SparkConfig


def salted_join(requests: "DataFrame", table: "DataFrame", key: str, by: str, config: "SparkConfig") -> "DataFrame":
    """The inner join of `requests` with `table` on `key`; rows of `table` are distinct in it.

    A plain join sends all requests for one key to one task. Keys of more than `config.salted_above` requests are joined
    apart: each of their rows is copied `config.salts` times, and a request asks the copy that its column `by` says.
    """
    from pyspark.sql import functions as sf

    # kept until the session ends, since the join reads it when it runs
    heavy = requests.groupBy(key).count().where(sf.col("count") > config.salted_above).select(key).persist()
    if heavy.isEmpty():
        return requests.join(table, key)
    light = requests.join(sf.broadcast(heavy), key, "left_anti").join(table, key)
    salt, copies = sf.pmod(sf.hash(by), sf.lit(config.salts)), sf.sequence(sf.lit(0), sf.lit(config.salts - 1))
    salted = requests.join(sf.broadcast(heavy), key).withColumn("salt", salt)
    copied = table.join(sf.broadcast(heavy), key).withColumn("salt", sf.explode(copies))
    return light.unionByName(salted.join(copied, [key, "salt"]).drop("salt"))
