"""Lists of the baselines by mutual friends from Spark beside those of one machine."""

from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from models.candidates.config import CandidateConfig
from models.graph import Graph
from offline.evaluation.baselines import DATED_BASELINES, OF_LATE, RESOURCE_ALLOCATION, baseline_lists
from offline.spark.baselines import BY_MUTUAL_FRIENDS
from offline.spark.candidates import SparkCandidates
from offline.spark.config import SparkConfig
from tests.support.offline.candidate_networks import RandomNearest, network_of

LENGTH = 12


def test_lists_are_those_of_one_machine(session: SparkSession, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    a, b = (200 * random.random((2, 900)) ** 2).astype(int)
    inputs = network_of(Graph.from_pairs(200, a, b), 8, dated=True)
    viewers = np.sort(random.choice(200, 60, replace=False))
    engine, nearest = SparkConfig(salts=2, salted_above=3), RandomNearest(200, 1)
    spark = SparkCandidates(inputs, nearest, CandidateConfig(), lambda: session, engine, tmp_path)
    made = spark.baseline_lists(viewers, LENGTH)
    local = baseline_lists(
        inputs.graph,
        viewers,
        LENGTH,
        known=inputs.known,
        suggestible=inputs.suggestible,
        late=inputs.late,
    )
    by_date = [one for one in DATED_BASELINES if OF_LATE.get(one) == RESOURCE_ALLOCATION]
    assert sorted(made) == sorted([*BY_MUTUAL_FRIENDS, *by_date])
    assert any((lists >= 0).all(axis=1).any() for lists in made.values())
    assert any((lists < 0).any() for lists in made.values())
    for method, lists in made.items():
        np.testing.assert_array_equal(lists, local[method], err_msg=method)


def test_given_lists_are_not_made_again() -> None:
    graph = Graph.from_pairs(4, [0, 1, 2], [1, 2, 3])
    given = {RESOURCE_ALLOCATION: np.array([[3, -1]], np.int32)}
    lists = baseline_lists(graph, np.array([0]), 2, given=given)
    assert lists[RESOURCE_ALLOCATION].tolist() == [[3, -1]]
    assert list(lists) == list(baseline_lists(graph, np.array([0]), 2))
