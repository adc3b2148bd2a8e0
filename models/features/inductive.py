"""Inductive coordinates and embeddings for users known only by a profile and a few friends.

A ridge regression (Hoerl, Kennard 1970) from profile values to the vectors of users with friends gives the expected
vectors; each friend improves them (Nystrom extension of the eigenvectors).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse import csr_array

from models.arrays import Float32s
from models.features.panel_product import PanelProduct
from models.graph import Graph
from models.version.towers import PROFILE_PRIOR_FRIENDS

Exact = NDArray[np.float64]

PENALTY = 10.0
"""ridge penalty: a value held by this many users gets half its weight"""
DENSE_VALUES = 4_096
"""values up to which the regression is solved directly"""
TOLERANCE, MOST_STEPS = 1e-3, 100
"""of conjugate gradients: the share of a column that may be left, and products with the matrix"""


@dataclass(frozen=True)
class ProfileMap:
    """A linear map from profile values to coordinates and embedding.

    `weights` (values, k + d) float32 and `intercept` (k + d,) float32: spectral coordinates, then the embedding.
    """

    weights: Float32s
    intercept: Float32s
    dimensions: int
    """k"""

    @classmethod
    def fit(
        cls, values: csr_array, coordinates: Float32s, embeddings: Float32s, degrees: NDArray[np.integer]
    ) -> "ProfileMap":
        """The map fitted to those of n users with friends; `values` (n, V) of 0 and 1."""
        k = coordinates.shape[1]
        known = np.flatnonzero(degrees > 0)
        if not values.nnz or not len(known):
            return cls.zero(values.shape[1], k, embeddings.shape[1])
        targets = np.concatenate([coordinates[known], embeddings[known]], axis=1)
        weights, intercept = _ridge(values[known], targets)
        return cls(weights, intercept, k)

    @classmethod
    def zero(cls, values: int, k: int, d: int) -> "ProfileMap":
        """The map to zero vectors."""
        return cls(np.zeros((values, k + d), np.float32), np.zeros(k + d, np.float32), k)

    def predict_one(self, values: NDArray[np.integer]) -> tuple[Float32s, Float32s]:
        """Coordinates (k,) and embedding (d,), not normalised, for one user with these values."""
        predicted = self.intercept + self.weights[values].sum(axis=0)
        return predicted[: self.dimensions], predicted[self.dimensions :]

    def predict(self, values: csr_array) -> tuple[Float32s, Float32s]:
        """Coordinates (n, k) and embeddings (n, d) for n users with `values` (n, V)."""
        predicted = np.asarray(values @ self.weights, dtype=np.float32) + self.intercept
        return predicted[:, : self.dimensions], predicted[:, self.dimensions :]


def _ridge(values: csr_array, targets: Float32s) -> tuple[Float32s, Float32s]:
    """Weights (V, t) and intercept (t,) of the ridge regression from `values` (n, V) to `targets` (n, t).

    With few values, all targets share one factorisation; with many, conjugate gradients solve for all at once.
    """
    gram = (values.T @ values).tocsr().astype(np.float32)  # counts: exact up to 2^24
    share, mean = gram.diagonal() / np.float64(len(targets)), targets.mean(axis=0, dtype=np.float64)
    wanted = values.T @ targets - len(targets) * np.outer(share, mean)
    if values.shape[1] > DENSE_VALUES:
        weights = _conjugate_gradients(gram, share, len(targets), wanted)
    else:
        centred = gram.toarray() - len(targets) * np.outer(share, share)
        centred[np.diag_indices_from(centred)] += PENALTY
        weights = solve(centred, wanted, assume_a="pos")
    return weights.astype(np.float32), (mean - share @ weights).astype(np.float32)


def _conjugate_gradients(gram: csr_array, share: Exact, n: int, wanted: Exact) -> Exact:
    """(V, t) that solve (`gram` - n `share` `share`^T + PENALTY) x = `wanted` (V, t), each column by itself.

    Preconditioned by the diagonal (Hestenes, Stiefel 1952): values that few people share hardly depend on each other. A
    column is done when its residual is TOLERANCE of what is wanted, and then stays. In float64, since of common values
    hardly anything is left after the mean is taken out.
    """
    product = PanelProduct(gram)
    scale = 1 / (gram.diagonal() - n * share**2 + PENALTY)[:, None]
    solution, residual = np.zeros_like(wanted), wanted.copy()
    direction = step = scale * residual
    slope = (residual * step).sum(axis=0)
    enough = TOLERANCE * np.linalg.norm(wanted, axis=0)
    for _ in range(MOST_STEPS):
        curved = product.of(direction) - n * np.outer(share, share @ direction) + PENALTY * direction
        curvature = (direction * curved).sum(axis=0)
        is_open = (np.linalg.norm(residual, axis=0) > enough) & (curvature > 0)
        if not is_open.any():
            break
        along = np.divide(slope, curvature, out=np.zeros_like(slope), where=is_open)
        solution += along * direction
        residual -= along * curved
        step = scale * residual
        before, slope = slope, (residual * step).sum(axis=0)
        direction = step + np.divide(slope, before, out=np.zeros_like(slope), where=is_open) * direction
    return solution


def value_matrix(indptr: NDArray[np.int64], codes: NDArray[np.int32], values: int) -> csr_array:
    """(n, values) float32 of 0 and 1 from each user's values, `codes[indptr[row] : indptr[row + 1]]`."""
    return csr_array((np.ones(len(codes), np.float32), codes, indptr), shape=(len(indptr) - 1, values))


def shrink_towards_profile(
    profiles: ProfileMap, values: csr_array, coordinates: Float32s, embeddings: Float32s, degrees: NDArray[np.integer]
) -> tuple[Float32s, Float32s]:
    """Coordinates (n, k) and embeddings (n, d) shrunk towards the profile's prediction, more with fewer friends.

    Users without friends get the prediction. Returns the inputs if no user has a profile.
    """
    if not profiles.weights.any():
        return coordinates, embeddings
    likely_coordinates, likely_embeddings = profiles.predict(values)
    has_values = np.diff(values.indptr) > 0
    weight = np.where(has_values | (degrees == 0), PROFILE_PRIOR_FRIENDS / (degrees + PROFILE_PRIOR_FRIENDS), 0).astype(
        np.float32
    )
    alone = degrees == 0
    moved = embeddings.copy()
    moved[alone] = unit(likely_embeddings[alone])
    return coordinates + weight[:, None] * likely_coordinates, moved


def from_friends(graph: Graph, eigenvalues: Float32s, coordinates: Float32s, friends: NDArray[np.int32]) -> Float32s:
    """(k,) spectral coordinates of a user with these friends, who is not in the graph."""
    if not len(friends) or not len(graph.indices):
        return np.zeros(coordinates.shape[1], np.float32)
    regularised = graph.degrees[friends] + max(float(graph.degrees.mean()), 1.0)
    inverse = np.where(eigenvalues > 0, 1 / np.maximum(eigenvalues, 1e-6), 0)
    return np.asarray((coordinates[friends] / regularised[:, None]).sum(axis=0) * inverse, dtype=np.float32)


def unit(vectors: Float32s) -> Float32s:
    """Rows (n, d) scaled to length one; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)
