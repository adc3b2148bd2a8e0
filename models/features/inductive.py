"""Inductive coordinates and embeddings for users known only by a profile and a few friends.

A ridge regression (Hoerl, Kennard 1970) from profile values to the vectors of users with friends gives the expected
vectors; each friend improves them (Nystrom extension of the eigenvectors).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from models.graph import Graph
from models.version.towers import PROFILE_PRIOR_FRIENDS

Floats = NDArray[np.float32]

PENALTY = 10.0
"""ridge penalty: a value held by this many users gets half its weight"""
DENSE_VALUES = 4_096
"""values up to which the regression is solved directly"""


@dataclass(frozen=True)
class ProfileMap:
    """A linear map from profile values to coordinates and embedding.

    `weights` (values, k + d) float32 and `intercept` (k + d,) float32: spectral coordinates, then the embedding.
    """

    weights: Floats
    intercept: Floats
    dimensions: int
    """k"""

    @classmethod
    def fit(
        cls, values: csr_array, coordinates: Floats, embeddings: Floats, degrees: NDArray[np.integer]
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

    def predict_one(self, values: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Coordinates (k,) and embedding (d,), not normalised, for one user with these values."""
        predicted = self.intercept + self.weights[values].sum(axis=0)
        return predicted[: self.dimensions], predicted[self.dimensions :]

    def predict(self, values: csr_array) -> tuple[Floats, Floats]:
        """Coordinates (n, k) and embeddings (n, d) for n users with `values` (n, V)."""
        predicted = np.asarray(values @ self.weights, dtype=np.float32) + self.intercept
        return predicted[:, : self.dimensions], predicted[:, self.dimensions :]


def _ridge(values: csr_array, targets: Floats) -> tuple[Floats, Floats]:
    """Weights (V, t) and intercept (t,) of the ridge regression from `values` (n, V) to `targets` (n, t).

    With few values, all targets share one factorisation; with many, each is solved by conjugate gradients.
    """
    if values.shape[1] > DENSE_VALUES:
        ridge = Ridge(alpha=PENALTY, solver="sparse_cg", tol=1e-3).fit(values, targets)
        return np.ascontiguousarray(ridge.coef_.T, dtype=np.float32), np.asarray(ridge.intercept_, dtype=np.float32)
    share, mean = np.asarray(values.mean(axis=0), dtype=np.float32), targets.mean(axis=0)
    gram = (values.T @ values).toarray() - len(targets) * np.outer(share, share)
    gram[np.diag_indices_from(gram)] += PENALTY
    weights = solve(gram, values.T @ (targets - mean), assume_a="pos").astype(np.float32)
    return weights, mean - share @ weights


def value_matrix(indptr: NDArray[np.int64], codes: NDArray[np.int32], values: int) -> csr_array:
    """(n, values) float32 of 0 and 1 from each user's values, `codes[indptr[row] : indptr[row + 1]]`."""
    return csr_array((np.ones(len(codes), np.float32), codes, indptr), shape=(len(indptr) - 1, values))


def shrink_towards_profile(
    profiles: ProfileMap, values: csr_array, coordinates: Floats, embeddings: Floats, degrees: NDArray[np.integer]
) -> tuple[Floats, Floats]:
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


def from_friends(graph: Graph, eigenvalues: Floats, coordinates: Floats, friends: NDArray[np.int32]) -> Floats:
    """(k,) spectral coordinates of a user with these friends, who is not in the graph."""
    if not len(friends) or not len(graph.indices):
        return np.zeros(coordinates.shape[1], np.float32)
    regularised = graph.degrees[friends] + max(float(graph.degrees.mean()), 1.0)
    inverse = np.where(eigenvalues > 0, 1 / np.maximum(eigenvalues, 1e-6), 0)
    return np.asarray((coordinates[friends] / regularised[:, None]).sum(axis=0) * inverse, dtype=np.float32)


def unit(vectors: Floats) -> Floats:
    """Rows (n, d) scaled to length one; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)
