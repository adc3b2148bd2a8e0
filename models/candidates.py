"""Candidates: gathered, compared and packed, for everybody by night and for one person in the worker."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models import files
from models.block import Block, quantise
from models.columns import Flag
from models.features.pair import PAIR_FEATURES
from models.graph import Graph
from models.kernels.affinity import MISSING, AffinityTables
from models.kernels.pool import fill_pools
from models.kernels.world import Reach, World
from models.tables import Tables

if TYPE_CHECKING:
    from models.index import VectorIndex

CONFIG = "config.json"
BATCH = 1024
"""users whose pools are held at once"""


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

    least: int = Field(default=100, ge=0)
    """popular people fill up to this many candidates"""

    walk_tolerance: float = Field(default=1e-5, gt=0)
    """residual per friend below which a walk is not followed"""

    walk_edges: int = Field(default=500_000, ge=1)
    """most friendships that one user's walks cross"""

    path_edges: int = Field(default=300_000, ge=1)
    """most friendships that one user's three-hop paths cross"""

    def reach(self) -> Reach:
        """The limits as the kernel takes them."""
        return Reach(**{name: getattr(self, name) for name in Reach._fields})


CHEAP_DEFAULT = np.array([0.0, 0.5, 0.3, 1.0, 0.5, 0.0, 0.5, 0.5, -0.4], dtype=np.float32)
"""The cheap score before one is learnt: weights of PAIR_FEATURES, then of the candidate's ln(1 + friends)"""


AFFINITY_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "codes": (np.int32, 2),
    "cardinality": (np.int64, 1),
    "matrix_at": (np.int64, 1),
    "matrices": (np.float32, 1),
    "same_at": (np.int64, 1),
    "same": (np.float32, 1),
    "different": (np.float32, 1),
    "set_indptr": (np.int64, 1),
    "set_codes": (np.int32, 1),
    "set_weights": (np.float32, 1),
    "points": (np.float32, 2),
    "point_spans": (np.int64, 1),
    "point_edges": (np.float32, 2),
    "point_weights": (np.float32, 2),
}
"""type and dimensions of each array of AffinityTables on disk"""

BY_PERSON = {"codes": 0, "points": 0, "set_indptr": 1}
"""those of them that have a place for each person, and how many places more"""


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


@dataclass(frozen=True)
class Landscape:
    """All that candidates are made from, for one graph of n users."""

    graph: Graph
    known: Graph
    """directed: never to be shown to a viewer, beside her friends"""
    suggestible: NDArray[np.bool_]
    """(n,) who may be shown to anyone"""
    spectral: NDArray[np.float32]
    """(n, k) coordinates in the leading eigenvectors"""
    smoothing: NDArray[np.float32]
    """(k,) weights of their products for a smoother estimate"""
    embeddings: NDArray[np.float32]
    """(n, d) L2-normalised"""
    affinity: AffinityTables
    cheap: NDArray[np.float32]
    """(len(PAIR_FEATURES) + 1,) weights of the cheap score"""

    def world(self) -> World:
        """The landscape as the kernel reads it."""
        value_indptr, value_codes, values = _values(self.affinity)
        group_indptr, group_rows = _groups(value_indptr, value_codes, values, self.graph.degrees, self.suggestible)
        popular = np.argsort(-self.graph.degrees, kind="stable")
        shown = popular[self.suggestible[popular] & (self.graph.degrees[popular] > 0)]
        return World(
            indptr=self.graph.indptr,
            indices=self.graph.indices,
            known_indptr=self.known.indptr,
            known_indices=self.known.indices,
            suggestible=self.suggestible,
            spectral=self.spectral,
            smoothing=self.smoothing,
            embeddings=self.embeddings,
            affinity=self.affinity,
            value_indptr=value_indptr,
            value_codes=value_codes,
            group_indptr=group_indptr,
            group_rows=group_rows,
            popular=shown[:1000].astype(np.int32),
            cheap=self.cheap,
        )

    def save(self, directory: Path) -> None:
        """Writes what the version's tables do not hold."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("spectral", "smoothing", "embeddings", "cheap"):
            files.write_array(directory / f"{name}.npy", getattr(self, name))
        for name, array in self.affinity._asdict().items():
            files.write_array(directory / f"affinity_{name}.npy", array)

    @classmethod
    def open(cls, directory: Path, graph: Graph, known: Graph, suggestible: NDArray[np.bool_]) -> "Landscape":
        """A saved landscape with the graph of the version's tables; arrays are memory-mapped.

        Raises ArtefactError where a file is missing, cut short, or of another number of people or features.
        """

        def array(name: str, dtype: type[np.generic], *shape: int | None) -> NDArray[Any]:
            return files.read_array(directory / f"{name}.npy", dtype, shape)

        affinity = {}
        for name, (dtype, dimensions) in AFFINITY_ARRAYS.items():
            length = graph.n + BY_PERSON[name] if name in BY_PERSON else None
            affinity[name] = array(f"affinity_{name}", dtype, length, *(None,) * (dimensions - 1))
        return cls(
            graph=graph,
            known=known,
            suggestible=suggestible,
            spectral=array("spectral", np.float32, graph.n, None),
            smoothing=array("smoothing", np.float32, None),
            embeddings=array("embeddings", np.float32, graph.n, None),
            affinity=AffinityTables(**affinity),
            cheap=array("cheap", np.float32, len(PAIR_FEATURES) + 1),
        )


class IndexNearest:
    """Nearest neighbours asked of the index."""

    def __init__(self, index: "VectorIndex", embeddings: NDArray[np.float32]) -> None:
        self._index = index
        self._embeddings = embeddings

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        """(u, count) int32 of the rows nearest to each of `rows` but itself, -1 for none."""
        return self._index.nearest_others(self._embeddings, rows, count)


class CandidateMaker:
    """Makes candidates in a landscape; threads may share it."""

    def __init__(self, landscape: Landscape, nearest: Nearest, config: CandidateConfig, threads: int = 0) -> None:
        self._world = landscape.world()
        self._nearest = nearest
        self._config = config
        self._threads = threads or os.cpu_count() or 1

    @classmethod
    def open(cls, version: Path) -> "CandidateMaker":
        """The maker of a version directory, for whom it did not make candidates for or whose were lost.

        Raises ArtefactError where a file is missing or altered.
        """
        from models.index import open_index

        tables = Tables.open(version / "tables")
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        suggestible = (tables.flags & shown) == shown
        landscape = Landscape.open(version / "candidates", tables.graph, tables.forbidden, suggestible)
        config = CandidateConfig.model_validate(files.read_json(version / "candidates" / CONFIG))
        return cls(landscape, IndexNearest(open_index(version / "index"), landscape.embeddings), config)

    def pools(self, users: NDArray[np.int64]) -> Pools:
        """Candidates of these rows, best first by the cheap score, at most `config.kept` each."""
        kept, features = self._config.kept, len(PAIR_FEATURES)
        pools = Pools(
            users=users,
            rows=np.zeros((len(users), kept), np.uint32),
            sources=np.zeros((len(users), kept), np.uint8),
            values=np.zeros((len(users), features, kept), np.float32),
            counts=np.zeros(len(users), np.int64),
        )
        nearest = self._nearest.nearest(users, self._config.nearest)
        threads = min(self._threads, max(len(users), 1))

        def fill(first: int) -> None:
            filled = (pools.rows, pools.sources, pools.values, pools.counts)
            fill_pools(self._world, self._config.reach(), users, nearest, first, threads, *filled)

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


def _values(tables: AffinityTables) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """By user the values of her profile, single ones and sets alike, as (n + 1,) and codes; and how many codes."""
    n, columns = tables.codes.shape
    starts = np.concatenate([[0], np.cumsum(tables.cardinality)]).astype(np.int64)
    known = tables.codes != MISSING
    single = (tables.codes + starts[:-1])[known] if columns else np.zeros(0, np.int64)
    owners = np.concatenate([np.nonzero(known)[0], np.repeat(np.arange(n), np.diff(tables.set_indptr))])
    codes = np.concatenate([single, tables.set_codes.astype(np.int64) + starts[-1]])
    order = np.lexsort((codes, owners))
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=n), out=indptr[1:])
    return indptr, codes[order].astype(np.int32), int(starts[-1]) + len(tables.set_weights)


def _groups(
    value_indptr: NDArray[np.int64],
    value_codes: NDArray[np.int32],
    values: int,
    degrees: NDArray[np.int32],
    suggestible: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """By value the people who have it and may be shown, best connected first, as (values + 1,) and rows."""
    owners = np.repeat(np.arange(len(value_indptr) - 1), np.diff(value_indptr))
    shown = suggestible[owners]
    owners, codes = owners[shown], value_codes[shown]
    order = np.lexsort((owners, -degrees[owners], codes))
    indptr = np.zeros(values + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=values), out=indptr[1:])
    return indptr, owners[order].astype(np.int32)
