"""Spectral coordinates of all users: the leading eigenvectors of the graph."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigsh

from models.features.leading_vectors import leading_eigenpairs
from models.graph import Graph

DIMENSIONS = ((512, 30_000), (256, 100_000), (128, 300_000), (64, float("inf")))
"""eigenvectors kept below a number of users: more resolve finer groups and cost memory and time"""

POSITION_DIMENSIONS = 128
"""leading eigenvectors that the networks read"""

LARGE = 20_000
"""users from which on the eigenvectors are computed as a block"""

NOISE = 0.005
"""square of the eigenvalue at which half of an eigenvector is taken as noise"""


@dataclass(frozen=True)
class Spectral:
    """The leading eigenpairs of (D + t)^-1/2 A (D + t)^-1/2, where t is the mean degree.

    `values` (k,) float32 descending, `vectors` (n, k) float32, `roots` (n,) float32 the square roots of degree + t. The
    t keeps the leading vectors from localising on small remote groups (Qin, Rohe 2013).
    """

    values: NDArray[np.float32]
    vectors: NDArray[np.float32]
    roots: NDArray[np.float32]

    def coordinates(self) -> NDArray[np.float32]:
        """(n, k) float32, whose inner products estimate the adjacency by a matrix of rank k.

        Each eigenvalue v is shrunk to v^3 / (v^2 + NOISE), as by the ridge regression of each user's friends on all
        others' (EASE, Steck 2019), so that more eigenvectors never hurt; negative ones are dropped.
        """
        values = np.maximum(self.values, 0)
        weights = np.sqrt(values**3 / (values**2 + NOISE))
        return np.asarray(self.roots[:, None] * self.vectors * weights, dtype=np.float32)

    def norms(self) -> NDArray[np.float32]:
        """(n,) float32: norm of each row of the coordinates."""
        return np.asarray(np.linalg.norm(self.coordinates(), axis=1), dtype=np.float32)

    def positions(self) -> NDArray[np.float32]:
        """(n, k) float32 for the networks: the first POSITION_DIMENSIONS vectors times their eigenvalues, scaled to
        unit mean square.
        """
        values = self.values[:POSITION_DIMENSIONS]
        scale = max(float(np.sqrt(np.mean(values**2))), 1e-6)
        vectors = self.vectors[:, :POSITION_DIMENSIONS]
        return np.asarray(vectors * (values * np.sqrt(len(vectors)) / scale), dtype=np.float32)

    def aligned(
        self, other: NDArray[np.float32], mine: NDArray[np.int64], theirs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The positions (n, k') float32, rotated to match those of another graph on shared users.

        `other` is (n', k'), `mine` and `theirs` (s,) the rows of the shared users here and there; without any, the
        result is zero. Eigenvectors have no sign, and near-equal ones no order, but a network reads them as in its
        training. A rotated column mixes eigenvectors, so no eigenvalue belongs to it. Orthogonal Procrustes (Schonemann
        1966).
        """
        positions = self.positions()
        overlap = positions[mine].T @ other[theirs]
        if not overlap.any():
            return np.zeros((len(positions), other.shape[1]), np.float32)
        left, _, right = svd(overlap.astype(np.float64), full_matrices=False)
        return np.asarray(positions @ (left @ right).astype(np.float32), dtype=np.float32)


def spectral_embedding(graph: Graph, dimensions: int | None = None) -> Spectral:
    """The leading eigenpairs of the regularised adjacency, at most a quarter of n and `dimensions` of them.

    Uses implicitly restarted Lanczos (ARPACK), and from LARGE users on a filtered block of vectors
    (models.features.leading_vectors), each with fixed start vectors, so that the same graph gives the same result.
    Users without friends are zero. An empty graph has one dimension of zeros.
    """
    n = graph.n
    wanted = dimensions or next(most for most, below in DIMENSIONS if n < below)
    k = min(wanted, n // 4)
    root = np.sqrt(graph.degrees + max(graph.degrees.mean(), 1) if n else graph.degrees).astype(np.float32)
    if k < 1 or not len(graph.indices):
        return Spectral(np.zeros(1, np.float32), np.zeros((n, 1), np.float32), root)
    adjacency = csr_array((np.ones(len(graph.indices), np.float32), graph.indices, graph.indptr), shape=(n, n))
    scale = diags_array(1 / root)
    normalised = (scale @ adjacency @ scale).tocsr().astype(np.float32)
    if n >= LARGE:
        values, vectors = leading_eigenpairs(normalised, k)
        vectors[graph.degrees == 0] = 0
        return Spectral(values, vectors, root)
    random = np.random.default_rng(0)
    start = random.standard_normal(n, dtype=np.float32)
    values, vectors = eigsh(normalised, k=k, which="LA", v0=start, tol=1e-3, rng=random)
    order = np.argsort(-values)
    vectors = vectors[:, order]
    vectors[graph.degrees == 0] = 0
    return Spectral(values[order].astype(np.float32), np.ascontiguousarray(vectors, dtype=np.float32), root)
