"""Statistics of neighbourhoods from Spark beside those of one machine."""

from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from models.features.user_statistics import LARGEST_SAMPLE, user_statistics
from models.graph import Graph
from models.schema.statistic_names import STATISTICS
from offline.spark.config import SparkConfig
from offline.spark.graph_tables import GraphTables, write
from offline.spark.statistics import neighbourhoods, read_neighbourhoods

FEW = SparkConfig(salts=3, salted_above=4)
CLUSTERING, FRIENDS = STATISTICS.index("clustering"), STATISTICS.index("friends_log_degree")


def statistics_of(session: SparkSession, graph: Graph, directory: Path) -> np.ndarray:
    tables = GraphTables.of(session, graph, np.ones(graph.n, np.bool_), FEW, directory)
    write(neighbourhoods(tables.adjacency, FEW), directory / "neighbourhoods")
    return read_neighbourhoods(directory / "neighbourhoods", graph.n)


def test_a_clique_a_path_and_a_loner(session: SparkSession, tmp_path: Path) -> None:
    clique = [(0, 1), (0, 2), (1, 2)]
    graph = Graph.from_pairs(7, *np.array([*clique, (3, 4), (4, 5)]).T)
    found = statistics_of(session, graph, tmp_path)
    assert found[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 0]
    np.testing.assert_allclose(found[:, 1], np.log1p([2, 2, 2, 2, 1, 2, 0]), rtol=1e-6)


def test_statistics_are_those_of_one_machine(session: SparkSession, tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    a, b = (250 * random.random((2, 4000)) ** 2).astype(int)
    graph = Graph.from_pairs(260, a, b)
    assert graph.degrees.max() > LARGEST_SAMPLE * 1.5
    local = user_statistics(graph, np.ones(graph.n, np.float32))
    found = statistics_of(session, graph, tmp_path)
    np.testing.assert_allclose(found, local[:, [CLUSTERING, FRIENDS]], rtol=1e-5)
    given = user_statistics(graph, np.ones(graph.n, np.float32), found)
    np.testing.assert_allclose(given, local, rtol=1e-5)
