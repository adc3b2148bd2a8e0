"""Candidates of a real network with the default limits, from Spark and from one machine."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from models.candidates.config import CandidateConfig
from models.version.candidate_block import Block
from offline.spark.candidates import SparkCandidates
from offline.spark.config import SparkConfig
from tests.support.offline.candidate_networks import untrained_network

REAL = Path(__file__).parents[5] / "shared" / "data" / "johnshopkins55"
VIEWERS = 120


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/johnshopkins55")
def test_candidates_of_johnshopkins55_are_those_of_one_machine(session: SparkSession, tmp_path: Path) -> None:
    config, engine = CandidateConfig(), SparkConfig(viewers_per_task=VIEWERS // 2, salted_above=1)
    network = untrained_network(REAL, VIEWERS, config, tmp_path)
    spark = SparkCandidates(network.inputs, network.nearest, config, lambda: session, engine, tmp_path / "spark")
    pairs = list(zip(network.local.blocks(network.viewers), spark.blocks(network.viewers), strict=True))
    assert [one.viewer for one, _ in pairs] == network.viewers.tolist()
    assert sum(len(one) == config.kept for one, _ in pairs) > VIEWERS / 2
    for made, other in pairs:
        one = Block.unpack(made.pack())  # the largest are rounded to fit, as those of Spark are
        assert other.viewer == one.viewer
        for name in ("rows", "sources", "codes", "low", "high"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=f"{one.viewer}: {name}")
