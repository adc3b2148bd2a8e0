"""Candidates of a real network with the default limits, from Spark and from one machine."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from models.candidates.config import CandidateConfig
from offline.spark.candidates import SparkCandidates
from offline.spark.config import SparkConfig
from tests.support.offline.candidate_networks import untrained_network

REAL = Path(__file__).parents[5] / "shared" / "data" / "johnshopkins55"
VIEWERS = 120
AGREED = 0.99
STEPS = 2.0
"""of the codes, by which a feature may differ"""


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/johnshopkins55")
def test_candidates_of_johnshopkins55_are_those_of_one_machine(session: SparkSession, tmp_path: Path) -> None:
    config, engine = CandidateConfig(), SparkConfig(viewers_per_task=VIEWERS // 2, salted_above=1)
    network = untrained_network(REAL, VIEWERS, config, tmp_path)
    spark = SparkCandidates(network.inputs, network.nearest, config, lambda: session, engine, tmp_path / "spark")
    pairs = list(zip(network.local.blocks(network.viewers), spark.blocks(network.viewers), strict=True))
    assert [one.viewer for one, _ in pairs] == network.viewers.tolist()
    assert sum(len(one) == config.kept for one, _ in pairs) > VIEWERS / 2
    for one, other in pairs:
        # within rounding: which of two equal candidates is the last that is kept may differ, and with it a scale
        assert other.viewer == one.viewer
        rows, mine, others = np.intersect1d(one.rows, other.rows, return_indices=True)
        assert len(rows) >= AGREED * max(len(one), len(other)), f"{one.viewer}: rows"
        assert (one.sources[mine] == other.sources[others]).mean() >= AGREED, f"{one.viewer}: sources"
        apart = np.abs(one.values()[:, mine] - other.values()[:, others])
        assert (apart <= STEPS * np.maximum(one.step, other.step)[:, None]).mean() >= AGREED, f"{one.viewer}: features"
