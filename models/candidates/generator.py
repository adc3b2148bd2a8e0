"""Candidates: gathered, compared and packed, for everybody by night and for one person in the worker."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.candidates.inputs import CandidateInputs
from models.candidates.out_of_graph_user import AppendedRow, OutOfGraphUser
from models.kernels.candidate_arrays import CandidateArrays, SourceLimits
from models.kernels.candidate_pool import fill_pools
from models.schema.columns import Flag
from models.schema.pair_features import PAIR_FEATURES
from models.system import files
from models.version.candidate_block import Block, quantise
from models.version.tables import Tables

if TYPE_CHECKING:
    from models.candidates.ann_index import VectorIndex

CONFIG = "config.json"
BATCH = 1024
"""users whose pools are held at once"""
SEEDS = 16
"""friends whose neighbours a guest is shown"""


class CandidateConfig(BaseModel):
    """How far the sources reach, and how many candidates are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept: int = Field(default=1000, ge=1, le=65_535)
    """candidates published for each user"""

    friends_of_friends: int = Field(default=1200, ge=0)
    """best by resource allocation, with two mutual friends or more before those with one"""

    walks: int = Field(default=1200, ge=0)
    """best by personalised PageRank"""

    three_hops: int = Field(default=500, ge=0)
    """best by paths of length three"""

    nearest: int = Field(default=500, ge=0)
    """nearest by embedding"""

    group_members: int = Field(default=60, ge=0)
    """best connected people taken of each group that shares a value of the profile"""

    rare_group: int = Field(default=300, ge=0)
    """groups larger than this are used only for people with few friends"""

    few_friends: int = Field(default=3, ge=0)
    """below this many friends every group of the profile is used"""

    likely: int = Field(default=500, ge=0)
    """of the best connected people those nearest in the spectrum, for people with few friends"""

    least: int = Field(default=100, ge=0)
    """popular people fill up to this many candidates"""

    walk_tolerance: float = Field(default=1e-5, gt=0)
    """residual per friend below which a walk is not followed"""

    walk_edges: int = Field(default=500_000, ge=1)
    """most friendships that one user's walks cross"""

    path_edges: int = Field(default=300_000, ge=1)
    """most friendships that one user's three-hop paths cross"""

    def limits(self) -> SourceLimits:
        """The limits as the kernel takes them."""
        return SourceLimits(**{name: getattr(self, name) for name in SourceLimits._fields})


DEFAULT_PRERANK_WEIGHTS = np.array([0.0, 0.5, 0.3, 1.0, 0.5, 0.0, 0.5, 0.5, -0.4], dtype=np.float32)
"""The cheap score before one is learnt: weights of PAIR_FEATURES, then of the candidate's ln(1 + friends)"""


class Nearest(Protocol):
    """Finds who is near by embedding."""

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

    def blocks(self) -> Iterator[Block]:
        """The packed form of each user's candidates."""
        for at, user in enumerate(self.users):
            m = self.counts[at]
            yield quantise(int(user), self.rows[at, :m], self.sources[at, :m], self.values[at, :, :m])


class IndexNearest:
    """Nearest neighbours asked of the index."""

    def __init__(self, index: "VectorIndex", embeddings: NDArray[np.float32]) -> None:
        self._index = index
        self._embeddings = embeddings

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """(u, count) int32 of the rows nearest to each of `rows` but itself, -1 for none."""
        return self._index.nearest_others(self._embeddings, rows, count)

    def near(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        """(m,) int32, about `count` rows near to any of `vectors` (s, d), each once, half of them to the first."""
        first, _ = self._index.search(vectors[:1], count if len(vectors) == 1 else count // 2)
        others, _ = self._index.search(vectors[1:], max(count // (2 * max(len(vectors) - 1, 1)), 1))
        found = np.unique(np.concatenate([first.ravel(), others.ravel()]))
        return found[found >= 0].astype(np.int32)


class CandidateGenerator:
    """Makes candidates in a landscape; threads may share it."""

    def __init__(
        self, candidate_inputs: CandidateInputs, nearest: Nearest, config: CandidateConfig, threads: int = 0
    ) -> None:
        self.candidate_inputs = candidate_inputs
        self._world = candidate_inputs.arrays()
        self._nearest = nearest
        self._config = config
        self._threads = threads or os.cpu_count() or 1
        self._seat: AppendedRow | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, version: Path) -> "CandidateGenerator":
        """The maker of a version directory, for whom it did not make candidates for or whose were lost.

        Raises ArtefactError where a file is missing or altered.
        """
        from models.candidates.ann_index import open_index

        tables = Tables.open(version / "tables")
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        suggestible = (tables.flags & shown) == shown
        candidate_inputs = CandidateInputs.open(version / "candidates", tables.graph, tables.forbidden, suggestible)
        config = CandidateConfig.model_validate(files.read_json(version / "candidates" / CONFIG))
        return cls(candidate_inputs, IndexNearest(open_index(version / "index"), candidate_inputs.embeddings), config)

    def pools(self, users: NDArray[np.int64]) -> Pools:
        """Candidates of these rows, best first by the cheap score, at most `config.kept` each."""
        nearest = self._nearest.nearest(users, self._config.nearest)
        return self._filled(self._world, users, nearest, min(self._threads, max(len(users), 1)))

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

        def fill(first: int) -> None:
            filled = (pools.rows, pools.sources, pools.values, pools.counts)
            fill_pools(arrays, self._config.limits(), users, nearest, first, threads, *filled)

        if threads == 1:  # to start a thread takes as long as a fifth of one person's candidates
            fill(0)
            return pools
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(fill, range(threads)))
        return pools

    def batches(self, users: NDArray[np.int64]) -> Iterator[Pools]:
        """Candidates of many rows, BATCH users at a time, in their order."""
        for start in range(0, len(users), BATCH):
            yield self.pools(users[start : start + BATCH])

    def block(self, row: int) -> Block:
        """The block of one row."""
        return next(self.pools(np.array([row], dtype=np.int64)).blocks())

    def out_of_graph_block(self, user: OutOfGraphUser) -> Block:
        """The block of a guest; its viewer is `guest.viewer`. One guest is served at a time.

        Raises TypeError where the maker knows the neighbours of some people only.
        """
        if not isinstance(self._nearest, IndexNearest):
            raise TypeError("guests need an index to search")
        with self._lock:
            if self._seat is None:
                self._seat = AppendedRow(self._world)
            arrays = self._seat.take(user)
            nearest = self._nearest.near(self._seeds(user), self._config.nearest)
            pools = self._filled(arrays, np.array([self._seat.row], dtype=np.int64), nearest[None], 1)
        m = int(pools.counts[0])
        return quantise(user.viewer, pools.rows[0, :m], pools.sources[0, :m], pools.values[0, :, :m])

    def _seeds(self, user: OutOfGraphUser) -> NDArray[np.float32]:
        """(s, d) embeddings whose neighbours are a guest's candidates: her own and those of the friends who have
        fewest friends themselves, who say most (friend-seed selection)."""
        degrees = np.diff(self._world.indptr)[user.friends]
        chosen = user.friends[np.argsort(degrees, kind="stable")[:SEEDS]]
        return np.concatenate([user.embedding[None], self._world.embeddings[chosen]])
