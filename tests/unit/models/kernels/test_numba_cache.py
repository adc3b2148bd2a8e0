"""Machine code that is kept on disk, and dropped with any source it was made of."""

import subprocess
import sys
from pathlib import Path

import pytest

import models.kernels

ROOT = Path(models.kernels.__file__).parents[2]
ASKED = """
import numpy as np
from models.graph import Graph
from models.kernels.graph_walks import spread_walks
n = 2
ring, mass, left = Graph.from_pairs(n, [0], [1]), np.zeros(n, np.float32), np.zeros(n, np.float32)
places, waiting, reached = np.zeros(n, np.int32), np.zeros(n, np.bool_), np.zeros(n, np.int32)
spread_walks(ring.indptr, ring.indices, 0, 1.0, 10, mass, left, places, waiting, reached)
print(float(mass[0]), sum(spread_walks.stats.cache_hits.values()))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources of the kernels and what they need, somewhere else."""
    for path in (ROOT / "models").rglob("*.py"):
        there = tmp_path / path.relative_to(ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())
    return tmp_path


def asked(root: Path) -> tuple[float, int]:
    """What an ended walk leaves with its user, and how often machine code was taken from disk."""
    environment = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache"), "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", ASKED], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    mass, hits = ran.stdout.split()
    return float(mass), int(hits)


def test_kept_code_serves_again_until_a_source_elsewhere_changes(copy: Path) -> None:
    assert asked(copy) == (pytest.approx(0.15), 0)
    assert asked(copy) == (pytest.approx(0.15), 1)
    path = copy / "models" / "schema" / "pair_features.py"
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert asked(copy) == (pytest.approx(0.15), 0)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_unreadable_cached_code_is_compiled_again(copy: Path, ending: str) -> None:
    assert asked(copy)[1] == 0
    for path in (copy / "cache").rglob(f"*.{ending}"):
        path.write_bytes(path.read_bytes()[:100])
    assert asked(copy) == (pytest.approx(0.15), 0)
    assert asked(copy) == (pytest.approx(0.15), 1)
