"""The towers of a version: one table of candidate vectors, from which a viewer's query follows as well.

Both are in closed form, without weights that were trained. With the leading eigenpairs (m, V) of the regularised
adjacency, R the square roots of degree + mean degree, and F = m^3 / (m^2 + NOISE), the product q . c of query and
candidate estimates their friendship: c = R V F, and q = R V (models.features.towers). Since an eigenvector is the sum
of its neighbours, q_u = sum over friends f of c_f / (F m (degree_f + mean degree)): a viewer's friends alone give the
query (fold-in; Sarwar and others 2002), so that a new friend changes it at once.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.graph import Graph
from models.system import files

CODES, WEIGHTS = "towers.npy", "tower_weights.npy"
PROFILE_PRIOR_FRIENDS = 0.5
"""friends that a profile counts for beside the real ones, in a query or a position"""

MOST_FOLDED = 1024
"""friends whose vectors are read for a query: of more, as many evenly spaced ones, whose sum is scaled up"""


@dataclass(frozen=True)
class Towers:
    """The vectors of n users in d dimensions, a byte each."""

    codes: NDArray[np.int8]
    """(n, d): a candidate's vector c = codes x scales"""
    scales: Float32s
    """(d,)"""
    own: Float32s
    """(d,): a user's own query is `own` times her vector as a candidate"""
    fold: Float32s
    """(d,): a friend f adds `fold` x c_f / (degree_f + mean degree) to it"""

    @classmethod
    def none(cls, n: int) -> "Towers":
        """Towers of no dimension, whose product is 0 for everybody."""
        nothing = np.zeros(0, np.float32)
        return cls(np.zeros((n, 0), np.int8), nothing, nothing, nothing)

    @property
    def dimensions(self) -> int:
        return int(self.codes.shape[1])

    def query(self, row: int) -> Float32s:
        """(d,) float32: the query of a user with the friends, and the profile, that the table knows."""
        return np.asarray(self.codes[row] * self._of_own, dtype=np.float32)

    @cached_property
    def _of_own(self) -> Float32s:
        return self.scales * self.own

    def fold_in(self, graph: Graph, friends: NDArray[np.integer]) -> Float32s:
        """(d,) float32: what these friends (f,) of `graph` add to a query; of more than MOST_FOLDED, an estimate."""
        if not len(friends):
            return np.zeros(self.dimensions, np.float32)
        mean, count = max(len(graph.indices) / max(graph.n, 1), 1.0), len(friends)
        if count > MOST_FOLDED:
            friends = friends[np.linspace(0, count - 1, MOST_FOLDED).astype(np.int64)]
        weights = (count / len(friends) / (graph.degrees_of(friends) + mean)).astype(np.float32)
        return np.asarray((weights @ self.codes[friends].astype(np.float32)) * (self.scales * self.fold), np.float32)

    def changed(self, graph: Graph, row: int, added: NDArray[np.integer], removed: NDArray[np.integer]) -> Float32s:
        """(d,) float32: the query of a user of `graph` with some friends more and some fewer than there.

        What a profile alone gave counts less beside the first friends.
        """
        query = self.query(row)
        if len(added) and graph.indptr[row + 1] == graph.indptr[row]:
            query *= np.float32(PROFILE_PRIOR_FRIENDS / (len(added) + PROFILE_PRIOR_FRIENDS))
        return np.asarray(query + self.fold_in(graph, added) - self.fold_in(graph, removed), dtype=np.float32)

    def save(self, directory: Path) -> None:
        """Writes the table and its weights."""
        files.write_array(directory / CODES, self.codes)
        files.write_array(directory / WEIGHTS, np.stack([self.scales, self.own, self.fold]).astype(np.float32))

    @classmethod
    def open(cls, directory: Path, n: int) -> "Towers":
        """The towers of n users that `save` wrote; the table is mapped. Raises ArtefactError if they do not fit."""
        codes = files.read_array(directory / CODES, np.int8, (n, None))
        weights = files.read_array(directory / WEIGHTS, np.float32, (3, codes.shape[1]))
        return cls(codes, *(np.ascontiguousarray(one) for one in weights))
