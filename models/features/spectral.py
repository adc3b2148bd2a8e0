"""Where everybody stands in the leading eigenvectors of the graph."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigsh

from models.graph import Graph

DIMENSIONS = 128
DIMENSIONS_OF_MANY = 64
MANY_USERS = 300_000
"""above this the eigenvectors kept are DIMENSIONS_OF_MANY, to bound the memory and time of the decomposition"""


@dataclass(frozen=True)
class Spectral:
    """The leading eigenpairs of D^-1/2 A D^-1/2: `values` (k,) float32 falling, `vectors` (n, k) float32."""

    values: NDArray[np.float32]
    vectors: NDArray[np.float32]

    def directions(self) -> NDArray[np.float32]:
        """(n, k) float32: rows weighted by the eigenvalues and brought to length one; zero where all is zero."""
        weighted = self.vectors * np.maximum(self.values, 0)
        length = np.linalg.norm(weighted, axis=1, keepdims=True)
        return np.asarray(weighted / np.where(length > 0, length, 1), dtype=np.float32)

    def norms(self) -> NDArray[np.float32]:
        """(n,) float32: length of each row weighted by the roots of the eigenvalues."""
        weighted = self.vectors * np.sqrt(np.maximum(self.values, 0))
        return np.asarray(np.linalg.norm(weighted, axis=1), dtype=np.float32)

    def aligned(
        self, other: NDArray[np.float32], mine: NDArray[np.int64], theirs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The vectors (n, k') float32, turned to lie as near as can be to those of another graph on shared people.

        `other` is (n', k'), `mine` and `theirs` (s,) the rows of the same people here and there; without any, all is
        zero. Eigenvectors have no sign, and near-equal ones no order; a network that reads them needs them the way it
        learnt them. A turned column mixes eigenvectors, so that no eigenvalue belongs to it. Orthogonal Procrustes
        (Schonemann 1966).
        """
        overlap = self.vectors[mine].T @ other[theirs]
        if not overlap.any():
            return np.zeros((len(self.vectors), other.shape[1]), np.float32)
        left, _, right = svd(overlap.astype(np.float64), full_matrices=False)
        return np.asarray(self.vectors @ (left @ right).astype(np.float32), dtype=np.float32)


def spectral_embedding(graph: Graph, dimensions: int | None = None) -> Spectral:
    """The leading eigenpairs of the symmetric normalised adjacency, at most an eighth of n and `dimensions` of them.

    By implicitly restarted Lanczos (ARPACK) from a fixed start, and fixed ones wherever it has to start again, so that
    the same graph gives the same vectors. People without friends stand at zero. An empty graph has one dimension of
    zeros.
    """
    n = graph.n
    wanted = dimensions or (DIMENSIONS_OF_MANY if n > MANY_USERS else DIMENSIONS)
    k = min(wanted, n // 8)
    if k < 1 or not len(graph.indices):
        return Spectral(np.zeros(1, np.float32), np.zeros((n, 1), np.float32))
    root = np.sqrt(np.maximum(graph.degrees, 1)).astype(np.float32)
    adjacency = csr_array((np.ones(len(graph.indices), np.float32), graph.indices, graph.indptr), shape=(n, n))
    scale = diags_array(1 / root)
    normalised = (scale @ adjacency @ scale).tocsr().astype(np.float32)
    random = np.random.default_rng(0)
    start = random.standard_normal(n, dtype=np.float32)
    values, vectors = eigsh(normalised, k=k, which="LA", v0=start, tol=1e-3, rng=random)
    order = np.argsort(-values)
    vectors = vectors[:, order]
    vectors[graph.degrees == 0] = 0
    return Spectral(values[order].astype(np.float32), np.ascontiguousarray(vectors, dtype=np.float32))
