"""A night whose candidates come from Spark beside one that finds them itself."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import UsageError
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.manifest import Manifest
from offline.evaluation.baselines import BASELINES
from offline.evaluation.report import Report
from offline.spark.session import check_spark
from tests.support.homes import Home
from tests.support.offline.spark_options import QUICK


def test_both_engines_publish_the_same_candidates(tmp_path: Path, small_network: Path, small_night: Path) -> None:
    try:
        check_spark()
    except UsageError as error:
        pytest.skip(str(error))
    home = Home(tmp_path, {"PYSPARK_SUBMIT_ARGS": QUICK}, timeout_s=600)
    command = ("nightly", str(small_network), "--config", str(small_night))
    nights = []
    for more in ((), ("--retrain", "never", "--engine", "spark", "--spark-master", "local[2]")):
        ran = home.run(*command, *more)
        assert ran.returncode == 0, ran.stderr
        nights.append((ran.stdout.strip(), ran.stderr))
    (local, _), (spark, said) = nights
    assert home.active() == spark != local
    assert '"event":"spark_started"' in said
    # in the evaluation and for the version, or once
    for name, least in {"snapshot": 1, "graph": 2, "statistics": 2, "candidates": 2, "baselines": 1}.items():
        assert said.count(f'"stage":"spark_{name}"') >= least, name
    manifests = [Manifest.read(home.versions.path(version)) for version in (local, spark)]
    assert manifests[1].files.keys() == manifests[0].files.keys()
    assert manifests[1].dataset["digest"] == manifests[0].dataset["digest"]
    opened = [Blocks.open(home.versions.path(version) / "blocks", 250) for version in (local, spark)]
    assert opened[1].rows().tolist() == opened[0].rows().tolist()
    for row in opened[0].rows().tolist():  # statistics differ in their last digits, and embeddings with them
        one, other = (Block.unpack(blocks.record(row)) for blocks in opened)
        assert len(one) == len(other)
        both, at, there = np.intersect1d(one.rows, other.rows, return_indices=True)
        assert len(both) >= 0.98 * len(one)
        steps = np.maximum(one.step, 1e-3)[:, None]
        assert (np.abs(one.values()[:, at] - other.values()[:, there]) <= 2 * steps).all()
    reports = [Report.read(home.versions.path(version)).methods for version in (local, spark)]
    for name in BASELINES:
        assert reports[1][name] == reports[0][name], name
