"""Candidates from Spark beside those of one machine: the same rows, sources and pair features, in the same order."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.graph import Graph
from models.version.candidate_block import Block
from offline.spark.candidates import SparkCandidates
from offline.spark.config import SparkConfig
from tests.support.offline.candidate_networks import RandomNearest, network_of

SMALL = CandidateConfig(
    kept=40,
    friends_of_friends=30,
    walks=25,
    three_hops=20,
    nearest=5,
    group_members=3,
    rare_group=60,
    few_friends=2,
    least=9,
    popular_of_late=4,
    path_edges=400,
    walk_edges=700,
    walk_tolerance=1e-4,
)
"""limits that leave candidates out of a network of some hundred people"""
FEW = SparkConfig(viewers_per_task=64, salts=3, salted_above=2)
"""several tasks, and copies of whoever more than two of them ask for"""


def skewed(n: int, seed: int = 0) -> Graph:
    """A network of hubs and people with few friends, and some with none."""
    random = np.random.default_rng(seed)
    popular = np.minimum((n * random.random(4 * n) ** 3).astype(int), n - 1)
    return Graph.from_pairs(n, popular, random.integers(0, n - n // 20, 4 * n))


def blocks_of_both(
    session: SparkSession,
    inputs: CandidateInputs,
    directory: Path,
    config: CandidateConfig = SMALL,
    engine: SparkConfig = FEW,
) -> tuple[list[Block], list[Block]]:
    """The blocks of everybody from one machine and from Spark."""
    everybody, nearest = np.arange(inputs.graph.n), RandomNearest(inputs.graph.n, 7)
    local = CandidateGenerator(inputs, nearest, config, 1)
    spark = SparkCandidates(inputs, nearest, config, lambda: session, engine, directory)
    return list(local.blocks(everybody)), list(spark.blocks(everybody))


def assert_same(local: list[Block], spark: list[Block]) -> None:
    assert [block.viewer for block in spark] == [block.viewer for block in local]
    for one, other in zip(local, spark, strict=True):
        for name in ("rows", "sources", "codes", "low", "high"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=f"{one.viewer}: {name}")


def test_candidates_are_those_of_one_machine(session: SparkSession, tmp_path: Path) -> None:
    inputs = network_of(skewed(300), 3, dated=True)
    local, spark = blocks_of_both(session, inputs, tmp_path)
    assert sum(len(block) == SMALL.kept for block in local) > 100
    assert_same(local, spark)


@pytest.mark.parametrize("pairs", [([0, 1], [1, 2]), ([], [])])
def test_people_without_friends_get_candidates_too(
    session: SparkSession, tmp_path: Path, pairs: tuple[list[int], list[int]]
) -> None:
    inputs = network_of(Graph.from_pairs(12, *pairs), 5)
    local, spark = blocks_of_both(session, inputs, tmp_path)
    assert any(len(block) for block in local[3:])
    assert_same(local, spark)


def test_some_viewers_ask_twice(session: SparkSession, tmp_path: Path) -> None:
    inputs, nearest = network_of(skewed(60), 4), RandomNearest(60, 7)
    spark = SparkCandidates(inputs, nearest, SMALL, lambda: session, FEW, tmp_path)
    local = CandidateGenerator(inputs, nearest, SMALL, 1)
    assert list(spark.blocks(np.zeros(0, np.int64))) == []
    for viewers in (np.array([3, 17, 59]), np.array([3])):
        assert_same(list(local.blocks(viewers)), list(spark.blocks(viewers)))


def test_a_hub_counts_as_a_sample_of_its_friends(session: SparkSession, tmp_path: Path) -> None:
    """Two stars that share no leaf: only the one above the limit is cut, and nobody is shown a friend."""
    leaves, few = np.arange(2, 202), np.arange(202, 232)
    a = np.concatenate([np.zeros(200, int), np.ones(30, int)])
    inputs = network_of(Graph.from_pairs(232, a, np.concatenate([leaves, few])), 6)
    engine = FEW.model_copy(update={"hub_friends": 50})
    only_paths = CandidateConfig(
        kept=300, friends_of_friends=300, walks=0, three_hops=0, nearest=0, group_members=0, likely=0, least=0
    )
    local, spark = blocks_of_both(session, inputs, tmp_path, only_paths, engine)
    suggestible = inputs.suggestible.sum(where=np.isin(np.arange(232), leaves))
    found = {len(spark[leaf]) for leaf in leaves}
    assert all(suggestible * 0.1 < count < suggestible * 0.5 for count in found)
    assert max(found) - min(found) <= 4  # all see the same sample, but for themselves and whom they must not see
    assert_same([local[row] for row in few], [spark[row] for row in few])
    assert len(spark[0]) == len(local[0]) == 0
