"""Where everybody stands in the leading eigenvectors of the graph."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigsh

from models.graph import Graph

DIMENSIONS = ((256, 30_000), (128, 300_000), (64, float("inf")))
"""eigenvectors kept, by the number of users below which: more see finer groups, and cost memory and time"""


@dataclass(frozen=True)
class Spectral:
    """The leading eigenpairs of (D + t)^-1/2 A (D + t)^-1/2, where t is the mean degree.

    `values` (k,) float32 falling, `vectors` (n, k) float32, `roots` (n,) float32 the square roots of degree + t. The t
    keeps the leading vectors from settling on small far-off groups (Qin, Rohe 2013).
    """

    values: NDArray[np.float32]
    vectors: NDArray[np.float32]
    roots: NDArray[np.float32]

    def coordinates(self) -> NDArray[np.float32]:
        """(n, k) float32, whose inner products estimate the adjacency by a matrix of rank k."""
        weights = np.sqrt(np.maximum(self.values, 0))
        return np.asarray(self.roots[:, None] * self.vectors * weights, dtype=np.float32)

    def norms(self) -> NDArray[np.float32]:
        """(n,) float32: length of each row of the coordinates."""
        return np.asarray(np.linalg.norm(self.coordinates(), axis=1), dtype=np.float32)

    def positions(self) -> NDArray[np.float32]:
        """(n, k) float32 for the networks: vectors weighted by their eigenvalues, of variance one in all."""
        scale = max(float(np.sqrt(np.mean(self.values**2))), 1e-6)
        return np.asarray(self.vectors * (self.values * np.sqrt(len(self.vectors)) / scale), dtype=np.float32)

    def aligned(
        self, other: NDArray[np.float32], mine: NDArray[np.int64], theirs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The positions (n, k') float32, turned to lie as near as can be to those of another graph on shared people.

        `other` is (n', k'), `mine` and `theirs` (s,) the rows of the same people here and there; without any, all is
        zero. Eigenvectors have no sign, and near-equal ones no order; a network that reads them needs them the way it
        learnt them. A turned column mixes eigenvectors, so that no eigenvalue belongs to it. Orthogonal Procrustes
        (Schonemann 1966).
        """
        positions = self.positions()
        overlap = positions[mine].T @ other[theirs]
        if not overlap.any():
            return np.zeros((len(positions), other.shape[1]), np.float32)
        left, _, right = svd(overlap.astype(np.float64), full_matrices=False)
        return np.asarray(positions @ (left @ right).astype(np.float32), dtype=np.float32)


def spectral_embedding(graph: Graph, dimensions: int | None = None) -> Spectral:
    """The leading eigenpairs of the regularised adjacency, at most an eighth of n and `dimensions` of them.

    By implicitly restarted Lanczos (ARPACK) from a fixed start, and fixed ones wherever it has to start again, so that
    the same graph gives the same vectors. People without friends stand at zero. An empty graph has one dimension of
    zeros.
    """
    n = graph.n
    wanted = dimensions or next(most for most, below in DIMENSIONS if n < below)
    k = min(wanted, n // 8)
    root = np.sqrt(graph.degrees + max(graph.degrees.mean(), 1) if n else graph.degrees).astype(np.float32)
    if k < 1 or not len(graph.indices):
        return Spectral(np.zeros(1, np.float32), np.zeros((n, 1), np.float32), root)
    adjacency = csr_array((np.ones(len(graph.indices), np.float32), graph.indices, graph.indptr), shape=(n, n))
    scale = diags_array(1 / root)
    normalised = (scale @ adjacency @ scale).tocsr().astype(np.float32)
    random = np.random.default_rng(0)
    start = random.standard_normal(n, dtype=np.float32)
    values, vectors = eigsh(normalised, k=k, which="LA", v0=start, tol=1e-3, rng=random)
    order = np.argsort(-values)
    vectors = vectors[:, order]
    vectors[graph.degrees == 0] = 0
    return Spectral(values[order].astype(np.float32), np.ascontiguousarray(vectors, dtype=np.float32), root)
