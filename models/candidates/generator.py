"""Generates candidates: gathers, compares and packs them, for all users at night and for one user in the worker."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from models.candidates.config import CandidateConfig
from models.candidates.inputs import CandidateInputs
from models.candidates.out_of_graph_user import AppendedRow, OutOfGraphUser
from models.features.user_statistics import late_of
from models.kernels.candidate_arrays import CandidateArrays, WorkBuffers, new_work_buffers
from models.kernels.candidate_pool import fill_pools
from models.schema.columns import Flag
from models.schema.pair_features import KEPT_FEATURES, PAIR_FEATURES
from models.schema.vocabulary import Row
from models.system import files, memory_budget
from models.version.candidate_block import Block, quantise
from models.version.tables import Tables

if TYPE_CHECKING:
    from models.candidates.ann_index import VectorIndex

CONFIG = "config.json"
BATCH = 1024
"""users whose pools are held at once"""
LEAST_BATCH = 32
"""the same, however small the budget of memory is"""
_BYTES_OF_PLACE, _POOLS_AT_ONCE = 5, 3
"""row and sources of a candidate; the pools that are read, those that wait and those that are made"""
SEEDS = 16
"""most friends of an out-of-graph user whose nearest neighbours become candidates"""


class Nearest(Protocol):
    """Finds the nearest rows by embedding."""

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """(u, count) int32 of the rows nearest to each of `rows`, -1 for none."""


@dataclass(frozen=True)
class Pools:
    """Candidates of u users, best first: `rows`, `sources` (u, m), `values` (u, features, m), `counts` (u,)."""

    users: NDArray[np.int64]
    rows: NDArray[np.uint32]
    sources: NDArray[np.uint8]
    values: NDArray[np.float32]
    counts: NDArray[np.int64]

    def blocks(self, features: int = len(KEPT_FEATURES)) -> Iterator[Block]:
        """Yields each user's candidates as a block with the first `features` pair features, by default the kept."""
        for at, user in enumerate(self.users):
            m = self.counts[at]
            yield quantise(int(user), self.rows[at, :m], self.sources[at, :m], self.values[at, :features, :m])


class IndexNearest:
    """Nearest neighbours from the index."""

    def __init__(self, index: "VectorIndex") -> None:
        self._index = index

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """(u, count) int32 of the rows nearest to each of `rows`, excluding itself, -1 for none."""
        return self._index.nearest_others(rows, count)

    def near(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        """(m,) int32, about `count` distinct rows near any of `vectors` (s, d), half of them near the first."""
        first, _ = self._index.search(vectors[:1], count if len(vectors) == 1 else count // 2)
        others, _ = self._index.search(vectors[1:], max(count // (2 * max(len(vectors) - 1, 1)), 1))
        found = np.unique(np.concatenate([first.ravel(), others.ravel()]))
        return found[found >= 0].astype(np.int32)


class CandidateGenerator:
    """Generates candidates from its inputs; threads may share it."""

    def __init__(
        self, candidate_inputs: CandidateInputs, nearest: Nearest, config: CandidateConfig, threads: int = 0
    ) -> None:
        self.candidate_inputs = candidate_inputs
        self._arrays = candidate_inputs.arrays()
        self._nearest = nearest
        self._config = config
        self._threads = threads or os.cpu_count() or 1
        self._spare: dict[int, list[WorkBuffers]] = {}
        """by number of rows, working arrays that no thread uses"""
        self._appended: AppendedRow | None = None
        self._lock = threading.Lock()

    @property
    def kept(self) -> int:
        """The most candidates of a block."""
        return self._config.kept

    @classmethod
    def open(cls, version: Path) -> "CandidateGenerator":
        """The generator of a version directory, for users without stored candidates.

        Raises ArtefactError if a file is missing or altered.
        """
        from models.candidates.ann_index import open_index

        tables = Tables.open(version / "tables")
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        suggestible = (tables.flags & shown) == shown
        candidate_inputs = CandidateInputs.open(
            version / "candidates",
            tables.graph,
            tables.forbidden,
            suggestible,
            tables.towers,
            late_of(tables.statistics),
        )
        config = CandidateConfig.model_validate(files.read_json(version / "candidates" / CONFIG))
        index = open_index(version / "index", candidate_inputs.embeddings)
        return cls(candidate_inputs, IndexNearest(index), config)

    def reading(self, candidate_inputs: CandidateInputs) -> "CandidateGenerator":
        """One of the same limits and nearest neighbours over other inputs of the same graph."""
        return CandidateGenerator(candidate_inputs, self._nearest, self._config, self._threads)

    def pools(self, users: NDArray[np.int64]) -> Pools:
        """Candidates of these rows, best first by pre-ranking, at most `config.kept` each."""
        nearest = self._nearest.nearest(users, self._config.nearest)
        return self._filled(self._arrays, users, nearest, min(self._threads, max(len(users), 1)))

    def _filled(
        self, arrays: CandidateArrays, users: NDArray[np.int64], nearest: NDArray[np.int32], threads: int
    ) -> Pools:
        kept, features = self._config.kept, len(PAIR_FEATURES)
        pools = Pools(
            users=users,
            rows=np.zeros((len(users), kept), np.uint32),
            sources=np.zeros((len(users), kept), np.uint8),
            values=np.zeros((len(users), features, kept), np.float32),
            counts=np.zeros(len(users), np.int64),
        )

        limits = self._config.limits(self.candidate_inputs.graph.n)

        def fill(first: int) -> None:
            filled = (pools.rows, pools.sources, pools.values, pools.counts)
            with self._work_buffers(arrays) as work:
                fill_pools(arrays, limits, work, users, nearest, first, threads, *filled)

        if threads == 1:  # starting a thread takes a fifth of the time of one user's candidates
            fill(0)
            return pools
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(fill, range(threads)))
        return pools

    @contextmanager
    def _work_buffers(self, arrays: CandidateArrays) -> Iterator[WorkBuffers]:
        """Zeroed working arrays for one thread, kept for the next; those of a call that failed are dropped."""
        n = len(arrays.indptr) - 1
        spare = self._spare.setdefault(n, [])
        try:
            work = spare.pop()
        except IndexError:
            work = new_work_buffers(arrays.indptr, arrays.suggestible)
        yield work
        spare.append(work)

    def batches(self, users: NDArray[np.int64]) -> Iterator[Pools]:
        """Yields candidates of many rows, BATCH users at a time, in their order; the next are made meanwhile.

        Fewer at a time if the budget of memory is small.
        """
        each = self._config.kept * (np.dtype(np.float32).itemsize * len(PAIR_FEATURES) + _BYTES_OF_PLACE)
        size = memory_budget.at_once(BATCH, each * _POOLS_AT_ONCE, least=LEAST_BATCH)
        starts = range(0, len(users), size)
        with ThreadPoolExecutor(1) as ahead:
            coming = deque[Future[Pools]]()
            for start in starts:
                coming.append(ahead.submit(self.pools, users[start : start + size]))
                if len(coming) > 1:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def blocks(self, users: NDArray[np.int64]) -> Iterator[Block]:
        """Yields the block of each of many rows, in their order."""
        for pools in self.batches(users):
            yield from pools.blocks()

    def block(self, row: Row) -> Block:
        """The block of one row."""
        return next(self.pools(np.array([row], dtype=np.int64)).blocks())

    def out_of_graph_block(self, user: OutOfGraphUser) -> Block:
        """The block of an out-of-graph user, with `user.viewer` as its viewer. Serves one user at a time.

        Raises TypeError if the generator has no index to search.
        """
        if not isinstance(self._nearest, IndexNearest):
            raise TypeError("an out-of-graph user needs a generator with an index: open one with IndexNearest")
        with self._lock:
            if self._appended is None:
                self._appended = AppendedRow(self._arrays)
            arrays = self._appended.fill(user)
            nearest = self._nearest.near(self._seeds(user), self._config.nearest)
            pools = self._filled(arrays, np.array([self._appended.row], dtype=np.int64), nearest[None], 1)
        m = int(pools.counts[0])
        kept = pools.values[0, : len(KEPT_FEATURES), :m]
        return quantise(user.viewer, pools.rows[0, :m], pools.sources[0, :m], kept)

    def _seeds(self, user: OutOfGraphUser) -> NDArray[np.float32]:
        """(s, d) embeddings to search by: the user's own, then those of the friends with the fewest friends, who are
        most informative (friend-seed selection).
        """
        degrees = np.diff(self._arrays.indptr)[user.friends]
        chosen = user.friends[np.argsort(degrees, kind="stable")[:SEEDS]]
        return np.concatenate([user.embedding[None], self._arrays.embeddings[chosen]])
