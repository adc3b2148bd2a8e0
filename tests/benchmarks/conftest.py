"""One version of full shape that every benchmark reads, and its parts.

    pytest tests/benchmarks --benchmark-enable --benchmark-columns=median,iqr,rounds --benchmark-group-by=group

measures; a plain `pytest` runs each once and looks at what comes out alone. PYMK_BENCHMARK_HOME names a home made by
tests/load/make_version.py, as large as it may be; without it a small one with blocks of 1,000 is made.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.networks import checkpoint
from models.publishing.pointer import read_pointer
from models.ranker.product_feature import with_product
from models.ranker.ranker import Ranker
from models.schema.pair_features import COMMON, extra_inputs
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables
from tests.support.versions import BenchmarkVersion

LOAD = Path(__file__).parents[1] / "load"
SMALL = ("--users", "1200")
SAMPLE = 64
"""viewers that are asked for in turn: enough that no cache of the processor holds what they need"""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a version, published in its embedded store."""
    if named := os.environ.get("PYMK_BENCHMARK_HOME"):
        return Path(named)
    path = tmp_path_factory.mktemp("benchmarks") / "home"
    command = [sys.executable, str(LOAD / "make_version.py"), "--home", str(path), *SMALL]
    made = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture(scope="session")
def world(home: Path) -> BenchmarkVersion:
    """What that version holds."""
    settings = Settings(home=home)
    with closing(open_sync(settings)) as store:
        pointer = read_pointer(store, keys=Keys(settings.namespace))
    assert pointer is not None
    directory = Versions(home).path(pointer.version)
    tables = Tables.open(directory / "tables")
    blocks = Blocks.open(directory / "blocks", tables.n)
    rows = np.random.default_rng(0).choice(blocks.rows(), SAMPLE, replace=False).tolist()
    records = [blocks.record(row) for row in rows]
    return BenchmarkVersion(home, directory, tables, Ranker.open(directory / "model"), records)


@pytest.fixture(scope="session")
def network(world: BenchmarkVersion) -> Any:
    """The trained network of the ranker itself."""
    return checkpoint.load(world.directory / "model" / "ranker").model


@pytest.fixture(scope="session")
def logits_of(world: BenchmarkVersion) -> Callable[[Any, Block], NDArray[np.float32]]:
    """(m,) logits of a block in a network's own layers, from what training would give it."""

    @torch.no_grad()
    def logits(network: Any, block: Block) -> NDArray[np.float32]:
        tables, rows = world.tables, block.rows.astype(np.int64)
        whole, viewer = (
            with_product(tables.towers, block, tables.towers.query(block.viewer)),
            tables.statistics[block.viewer],
        )
        values = whole.values()
        extra = extra_inputs(values[COMMON], tables.statistics[rows], viewer, block.sources)
        own = np.tile(viewer, (len(block), 1))
        pair = np.concatenate([values.T, whole.codes.T / np.float32(255), extra, own], axis=1)
        found: torch.Tensor = network(torch.from_numpy(pair)[None])
        return found[0].numpy()

    return logits


@pytest.fixture
def each_block(world: BenchmarkVersion) -> "cycle[Block]":
    """The viewers' blocks in turn, without end."""
    return cycle(world.blocks)
