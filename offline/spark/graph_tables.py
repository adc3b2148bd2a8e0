"""The Parquet files of one graph: friendships as handed over, numbers of friends, and the rows of friends."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from offline.spark.adjacency import adjacency, directed, friend_counts, sampled_hubs
from offline.spark.config import SparkConfig
from offline.spark.handover import write_pairs, write_shown
from offline.spark.session import one_line
from offline.steps.stages import stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DONE = "_SUCCESS"
"""file that Spark leaves in a directory that it has written"""


class GraphTables:
    """The tables of a graph: `friends` of offline.spark.adjacency.friend_counts, and `adjacency`."""

    def __init__(self, session: "SparkSession", directory: Path) -> None:
        self.friends = read(session, directory / "friend_counts")
        self.adjacency = read(session, directory / "adjacency")

    @classmethod
    def of(
        cls, session: "SparkSession", graph: Graph, shown: NDArray[np.bool_], engine: SparkConfig, directory: Path
    ) -> "GraphTables":
        """The tables in a directory, made from the graph and who may be shown (n,) unless they are there."""
        if (directory / "adjacency" / DONE).exists():
            return cls(session, directory)
        directory.mkdir(parents=True, exist_ok=True)
        with one_line("the graph"), stage("spark_graph", people=graph.n):
            write_pairs(graph, directory / "pairs.parquet")
            write_shown(shown, directory / "shown.parquet")
            edges = directed(read(session, directory / "pairs.parquet"))
            write(friend_counts(edges), directory / "friend_counts")
            sampled = sampled_hubs(edges, read(session, directory / "friend_counts"), engine)
            write(adjacency(sampled, read(session, directory / "shown.parquet")), directory / "adjacency")
        return cls(session, directory)


def read(session: "SparkSession", path: Path) -> "DataFrame":
    """A Parquet file or a directory of them, by its address, whatever file system is the cluster's default."""
    return session.read.parquet(path.as_uri())


def write(frame: "DataFrame", path: Path) -> None:
    """Writes a directory of Parquet files."""
    frame.write.parquet(path.as_uri())
