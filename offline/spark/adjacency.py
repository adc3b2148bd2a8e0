"""The friendship graph as rows of friends, with hubs cut to a sample."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from offline.spark.config import SparkConfig


def directed(pairs: "DataFrame") -> "DataFrame":
    """`row`, `other`: both directions of the friendships `a`, `b`."""
    from pyspark.sql import functions as sf

    first = pairs.select(sf.col("a").alias("row"), sf.col("b").alias("other"))
    return first.unionByName(pairs.select(sf.col("b").alias("row"), sf.col("a").alias("other")))


def friend_counts(edges: "DataFrame") -> "DataFrame":
    """`row`, `friends` int: how many friends everybody has who has one."""
    from pyspark.sql import functions as sf

    return edges.groupBy("row").agg(sf.count("*").cast("int").alias("friends"))


def sampled_hubs(edges: "DataFrame", friends: "DataFrame", config: "SparkConfig") -> "DataFrame":
    """The edges, of hubs only a share that leaves each with about `config.hub_friends`; the same at every run.

    A path through a hub is followed to a friend with the chance hub_friends / friends, and the hub counts as having as
    many friends as are left. What a hub passes on in equal parts (resource allocation, PageRank) is right on average
    for every friend; counts of mutual friends lack those hubs whose edge was left out, and degrees of hubs are low. The
    edge from the friend to the hub stays.
    """
    from pyspark.sql import functions as sf

    hubs = friends.where(sf.col("friends") > config.hub_friends)
    draw = sf.pmod(sf.xxhash64("row", "other"), sf.lit(1 << 40)) / float(1 << 40)
    is_left = sf.col("friends").isNull() | (draw < config.hub_friends / sf.col("friends"))
    return edges.join(hubs, "row", "left").where(is_left).select("row", "other")


def adjacency(edges: "DataFrame", people: "DataFrame") -> "DataFrame":
    """One row for each person with friends: `row`, `friends` ascending, `marks` of the same friends.

    A mark is twice the friend's number of friends, plus 1 if the friend may be shown (`people`: `row`, `shown`).
    """
    from pyspark.sql import functions as sf

    degrees = friend_counts(edges).join(people.select("row", "shown"), "row")
    mark = (sf.col("friends") * 2 + sf.col("shown").cast("int")).cast("int")
    # the friends of a hub ask for the same row: the optimiser splits such a key, since only one side has it often
    marked = edges.join(degrees.select(sf.col("row").alias("other"), mark.alias("mark")), "other")
    ordered = sf.sort_array(sf.collect_list(sf.struct("other", "mark")))
    listed = marked.groupBy("row").agg(ordered.alias("friend"))
    return listed.select("row", sf.col("friend.other").alias("friends"), sf.col("friend.mark").alias("marks"))
