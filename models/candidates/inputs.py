"""The inputs of candidate generation, for one graph of n users; saved with a version for the worker."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.features.inductive import ProfileMap, value_matrix
from models.graph import Graph
from models.kernels.candidate_arrays import CandidateArrays
from models.kernels.profile_affinity import MISSING, ProfileAffinityTables
from models.schema.pair_features import PAIR_FEATURES
from models.system import files
from models.version.towers import Towers

MOST_POPULAR = 20_000
"""most popular users that are compared with users of few friends"""

PROFILE_AFFINITY_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
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
"""type and dimensions of each array of ProfileAffinityTables on disk"""

PER_USER = {"codes": 0, "points": 0, "set_indptr": 1}
"""those of them with one entry for each user, and how many entries more"""


@dataclass(frozen=True)
class CandidateInputs:
    """The inputs of candidate generation, for one graph of n users."""

    graph: Graph
    known: Graph
    """directed: users who must not be shown to the viewer, beside the friends"""
    suggestible: NDArray[np.bool_]
    """(n,) users who may be shown at all"""
    spectral: NDArray[np.float32]
    """(n, k) coordinates in the leading eigenvectors"""
    eigenvalues: NDArray[np.float32]
    """(k,)"""
    embeddings: NDArray[np.float32]
    """(n, d) L2-normalised"""
    profiles: ProfileMap
    """maps profile values to expected coordinates and embedding"""
    profile_affinity: ProfileAffinityTables
    towers: Towers
    """whose product estimates friendships; the version's tables hold them"""
    prerank_weights: NDArray[np.float32]
    """(len(PAIR_FEATURES) + 1,) pre-ranking weights"""
    late: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """(n,) ln(1 + friendships of late), from the version's statistics; empty if friendships have no dates"""

    def arrays(self) -> CandidateArrays:
        """The inputs as arrays for the kernel."""
        value_indptr, value_codes, values = values_of(self.profile_affinity)
        group_indptr, group_rows = _groups(value_indptr, value_codes, values, self.graph.degrees, self.suggestible)
        popular = np.argsort(-self.graph.degrees, kind="stable")
        shown = popular[self.suggestible[popular] & (self.graph.degrees[popular] > 0)]
        return CandidateArrays(
            indptr=self.graph.indptr,
            indices=self.graph.indices,
            known_indptr=self.known.indptr,
            known_indices=self.known.indices,
            suggestible=self.suggestible,
            towers=self.towers.codes,
            tower_scales=self.towers.scales,
            tower_own=self.towers.own,
            appended_query=np.zeros(0, np.float32),
            embeddings=self.embeddings,
            profile_affinity=self.profile_affinity,
            value_indptr=value_indptr,
            value_codes=value_codes,
            group_indptr=group_indptr,
            group_rows=group_rows,
            popular=shown[:MOST_POPULAR].astype(np.int32),
            late=self.late,
            popular_of_late=self._popular_of_late(),
            prerank_weights=self.prerank_weights,
        )

    def _popular_of_late(self) -> NDArray[np.int32]:
        """The suggestible rows with the most friendships of late, at most MOST_POPULAR; ties by row."""
        order = np.argsort(-self.late, kind="stable")
        return order[self.suggestible[order] & (self.late[order] > 0)][:MOST_POPULAR].astype(np.int32)

    def save(self, directory: Path) -> None:
        """Writes the arrays that the version's tables do not hold."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("spectral", "eigenvalues", "embeddings"):
            files.write_array(directory / f"{name}.npy", getattr(self, name))
        files.write_array(directory / "cheap.npy", self.prerank_weights)
        files.write_array(directory / "profile_weights.npy", self.profiles.weights)
        files.write_array(directory / "profile_intercept.npy", self.profiles.intercept)
        for name, array in self.profile_affinity._asdict().items():
            files.write_array(directory / f"affinity_{name}.npy", array)

    @classmethod
    def open(
        cls,
        directory: Path,
        graph: Graph,
        known: Graph,
        suggestible: NDArray[np.bool_],
        towers: Towers,
        late: NDArray[np.float32] | None = None,
    ) -> "CandidateInputs":
        """Saved inputs with graph and towers of the version's tables, and who made friends of late.

        Arrays are memory-mapped.

        Raises ArtefactError if a file is missing, truncated, or has another number of users or features.
        """

        def array(name: str, dtype: type[np.generic], *shape: int | None) -> NDArray[Any]:
            return files.read_array(directory / f"{name}.npy", dtype, shape)

        profile_affinity = {}
        for name, (dtype, dimensions) in PROFILE_AFFINITY_ARRAYS.items():
            length = graph.n + PER_USER[name] if name in PER_USER else None
            profile_affinity[name] = array(f"affinity_{name}", dtype, length, *(None,) * (dimensions - 1))
        spectral, embeddings = (array(name, np.float32, graph.n, None) for name in ("spectral", "embeddings"))
        k, d = spectral.shape[1], embeddings.shape[1]
        return cls(
            graph=graph,
            known=known,
            suggestible=suggestible,
            spectral=spectral,
            eigenvalues=array("eigenvalues", np.float32, k),
            embeddings=embeddings,
            profiles=ProfileMap(
                array("profile_weights", np.float32, None, k + d), array("profile_intercept", np.float32, k + d), k
            ),
            profile_affinity=ProfileAffinityTables(**profile_affinity),
            towers=towers,
            prerank_weights=array("cheap", np.float32, len(PAIR_FEATURES) + 1),
            late=np.zeros(0, np.float32) if late is None else late,
        )


def profile_values(tables: ProfileAffinityTables) -> csr_array:
    """(n, values) float32 of 0 and 1: the profile values of each user, from single columns and sets."""
    return value_matrix(*values_of(tables))


def values_of(tables: ProfileAffinityTables) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """The profile values of each user, from single columns and sets, as (n + 1,) and codes; and the number of codes."""
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
    """For each value its suggestible users, most popular first, as (values + 1,) and rows."""
    owners = np.repeat(np.arange(len(value_indptr) - 1), np.diff(value_indptr))
    shown = suggestible[owners]
    owners, codes = owners[shown], value_codes[shown]
    order = np.lexsort((owners, -degrees[owners], codes))
    indptr = np.zeros(values + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=values), out=indptr[1:])
    return indptr, owners[order].astype(np.int32)
