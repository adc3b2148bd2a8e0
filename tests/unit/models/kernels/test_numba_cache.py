"""Machine code is cached on disk until a source of it changes; no state of the disk is an error."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import models.kernels

ROOT = Path(models.kernels.__file__).parents[2]
CALL = """
import sys
from models.system import logs
logs.configure()
if "full" in sys.argv:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
if "read-only" in sys.argv:
    import tempfile
    def refuse(*_, **__):
        raise PermissionError("the file system is read-only")
    tempfile.TemporaryFile = refuse
import numpy as np
from models.graph import Graph
from models.kernels.graph_walks import spread_walks
n = 2
ring, walk = Graph.from_pairs(n, [0], [1]), np.ones((n, 4), np.float32) * np.float32([0, 0, 1, 0])
places, reached = np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
spread_walks(ring.indptr, ring.indices, 0, 1.0, 10, walk, places, reached)
print(float(walk[0, 0]), sum(spread_walks.stats.cache_hits.values()))
"""


ELSEWHERE = """
from models.system import logs
logs.configure()
from models.kernels.selection import mixed
from models.kernels.numba_cache import compiled
@compiled()
def twice(key):
    return mixed(key, key)
twice(1)
print(1, sum(twice.stats.cache_hits.values()))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources of `models`."""
    for path in (ROOT / "models").rglob("*.py"):
        there = tmp_path / path.relative_to(ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())
    return tmp_path


def run(root: Path, *arguments: str) -> tuple[float, int]:
    """The result of a kernel in a process of its own, and how often it read machine code from disk."""
    environment = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache"), "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-P", *(arguments or ("-c", CALL))],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    mass, hits = ended.stdout.split()
    return float(mass), int(hits)


def test_cached_code_is_read_until_a_source_elsewhere_changes(copy: Path) -> None:
    assert run(copy) == (pytest.approx(0.15), 0)
    assert run(copy) == (pytest.approx(0.15), 1)
    path = copy / "models" / "schema" / "pair_features.py"
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert run(copy) == (pytest.approx(0.15), 0)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_cached_code_that_does_not_read_back_is_compiled_again(copy: Path, ending: str) -> None:
    assert run(copy)[1] == 0
    for path in (copy / "cache").rglob(f"*.{ending}"):
        path.write_bytes(path.read_bytes()[:100])
    assert run(copy) == (pytest.approx(0.15), 0)
    assert run(copy) == (pytest.approx(0.15), 1)


def test_a_kernel_of_another_folder_follows_the_shared_kernels(copy: Path) -> None:
    script = copy / "elsewhere.py"
    script.write_text(ELSEWHERE)
    assert run(copy, str(script)) == (1, 0)
    assert run(copy, str(script)) == (1, 1)
    path = copy / "models" / "kernels" / "selection.py"
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert run(copy, str(script)) == (1, 0)


def test_a_full_disk_is_no_failure(copy: Path) -> None:
    for _ in range(2):
        assert run(copy, "-c", CALL, "full") == (pytest.approx(0.15), 0)


def test_two_processes_may_compile_at_once(copy: Path) -> None:
    with ThreadPoolExecutor() as pool:
        assert [result for result, _ in pool.map(run, [copy] * 2)] == [pytest.approx(0.15)] * 2
    assert run(copy) == (pytest.approx(0.15), 1)


def test_a_directory_that_is_read_only_is_read(copy: Path) -> None:
    """As in an image, whose kernels were compiled when it was built."""
    first, _ = run(copy)
    again, read_back = run(copy, "-c", CALL, "read-only")
    assert (again, read_back > 0) == (first, True)


def test_a_directory_that_is_read_only_and_empty_is_none(copy: Path) -> None:
    _, read_back = run(copy, "-c", CALL, "read-only")
    assert read_back == 0
