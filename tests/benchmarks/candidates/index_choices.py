"""What each way to hold the index takes and finds: codes of three widths, in one shard and in four.

    python tests/benchmarks/candidates/index_choices.py HOME/versions/VERSION            its embeddings, or those of
    python tests/benchmarks/candidates/index_choices.py --users 100000 --dimensions 64   groups of made-up people

Prints a Markdown table: recall of the 100 nearest as the night measures it and the efSearch that reaches it, bytes a
vector in the files and in the memory of the process that builds, seconds to build and milliseconds for one search,
which is the 500 nearest of one person. Each choice is built in a process of its own.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from models.candidates.ann_index import VectorIndex
from models.candidates.config import IndexConfig
from models.candidates.index_build import build_index
from models.errors import GateRefusedError
from models.system.files import read_array

CODES = ("float32", "float16", "int8")
SHARDS = (1, 4)
SEARCHES = 1_000
NEAREST = 500
HEAD = """\
| codes | shards | recall@100 | efSearch | bytes a vector | at most, building | to build | a search |
|---|---|---|---|---|---|---|---|
"""


def made_up(users: int, dimensions: int) -> NDArray[np.float32]:
    """Unit vectors around centres, of which there is one for about a hundred users."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(users // 100, 1), dimensions), dtype=np.float32)
    vectors = centres[random.integers(len(centres), size=users)]
    vectors += 0.6 * random.standard_normal((users, dimensions), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def milliseconds(index: VectorIndex) -> float:
    """Of one search, the mean over rows drawn at random."""
    rows = np.random.default_rng(1).integers(len(index.embeddings), size=SEARCHES)
    begun = time.perf_counter()
    for row in rows.tolist():
        index.search(index.embeddings[row : row + 1], NEAREST)
    return 1000 * (time.perf_counter() - begun) / SEARCHES


def row_of(embeddings: NDArray[np.float32], codes: str, shards: int) -> str:
    """One line of the table."""
    config = IndexConfig.model_validate(
        {"codes": codes, "shard_users": ceil(len(embeddings) / shards), "flat_below": 0, "threads": 0}
    )
    with TemporaryDirectory() as directory:
        before, begun = peak_bytes(), time.perf_counter()
        try:
            index = build_index(embeddings, config, Path(directory) / "index")
        except GateRefusedError as error:
            return f"| {codes} | {shards} | refused: {error} | | | | | |"
        built, manifest = time.perf_counter() - begun, index.manifest
        sizes = manifest.bytes / manifest.users, (peak_bytes() - before) / manifest.users
        said = (
            f"| {codes} | {shards} | {manifest.recall:.4f} | {manifest.ef_search} | {sizes[0]:.0f} | {sizes[1]:.0f} |"
        )
        return f"{said} {built:.0f} s | {milliseconds(index):.2f} ms |"


def peak_bytes() -> int:
    """The most that this process held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", type=Path, nargs="?", help="directory of a version")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=64)
    chosen = parser.parse_args(arguments)
    if chosen.version is None:
        embeddings = made_up(chosen.users, chosen.dimensions)
    else:
        embeddings = read_array(chosen.version / "candidates" / "embeddings.npy", np.float32, (None, None))
    sys.stdout.write(f"{embeddings.shape[0]:,} vectors of {embeddings.shape[1]}\n\n")
    sys.stdout.write(HEAD)
    context = multiprocessing.get_context("fork")
    for codes, shards in product(CODES, SHARDS):
        with ProcessPoolExecutor(1, mp_context=context) as alone:
            sys.stdout.write(alone.submit(row_of, embeddings, codes, shards).result() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
