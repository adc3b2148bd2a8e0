"""The people who share a profile value: whom a viewer gets as candidates of the source same_attributes."""

from typing import TYPE_CHECKING

from offline.spark.salting import salted_join

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from models.candidates.config import CandidateConfig
    from offline.spark.config import SparkConfig


def groups_of_viewers(
    viewers: "DataFrame", people: "DataFrame", friends: "DataFrame", limits: "CandidateConfig", config: "SparkConfig"
) -> "DataFrame":
    """`viewer`, `groups`: for each of her profile values that counts, the most popular people who share it.

    A value counts if at most `rare_group` people who may be shown have it, or if the viewer has few friends. `viewers`
    has `viewer`, `people` has `row`, `shown` and `values`, `friends` has `row` and `friends`. Groups come in the order
    of the values. The first of a value are chosen where its people are, before anything is sent.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as sf

    # by value: how many may be shown, and the first of them
    counted = people.join(friends, "row", "left").withColumn("friends", sf.coalesce("friends", sf.lit(0)))
    shown = counted.where("shown").select("row", "friends", sf.explode("values").alias("value"))
    sizes = shown.groupBy("value").agg(sf.count("*").alias("size"))
    place = sf.row_number().over(Window.partitionBy("value").orderBy(sf.desc("friends"), "row"))
    first = shown.withColumn("place", place).where(sf.col("place") <= limits.group_members)
    ordered = sf.sort_array(sf.collect_list(sf.struct("place", "row")))
    members = first.groupBy("value").agg(ordered.alias("ordered")).select("value", sf.col("ordered.row").alias("group"))
    groups = sizes.join(members, "value")
    # by viewer: the groups of her values
    own = viewers.select(sf.col("viewer").alias("row")).join(counted, "row")
    is_new = (sf.col("friends") < limits.few_friends).alias("is_new")
    requests = own.select(sf.col("row").alias("viewer"), is_new, sf.posexplode("values").alias("place", "value"))
    found = salted_join(requests, groups, "value", "viewer", config)
    counts = found.where(sf.col("is_new") | (sf.col("size") <= limits.rare_group))
    in_order = sf.sort_array(sf.collect_list(sf.struct("place", "group")))
    return counts.groupBy("viewer").agg(in_order.alias("found")).select("viewer", sf.col("found.group").alias("groups"))
