"""A version of eight people that `pymk serve` serves: with a ranker and a block for each of seven."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.schema.pair_features import PAIR_FEATURES
from models.system import files
from models.version.block_file import write_blocks
from models.version.candidate_block import quantise
from models.version.local_versions import Versions

CALIBRATED = {"kind": "resource_allocation", "calibration": [1.0, 0.0, 0.0, 0.0]}


def make_servable(home: Path, make_version: Callable[..., str]) -> str:
    """Writes the version into a home, without publishing it; returns its id."""
    version = make_version(home)
    directory = Versions(home).path(version)
    files.write_json(directory / "model" / "ranker.json", CALIBRATED)
    write_blocks(directory / "blocks", [_of_the_other_clique(row) for row in range(7)] + [b""])
    Versions(home).manifest(version).with_files(directory).write(directory)
    return version


def _of_the_other_clique(row: int) -> bytes:
    """A block with every pair feature."""
    others = np.arange(4, 8) if row < 4 else np.arange(4)
    values = np.tile(np.arange(4, dtype=np.float32), (len(PAIR_FEATURES), 1))
    return quantise(row, others.astype(np.uint32), np.full(4, 1, np.uint8), values).pack()
