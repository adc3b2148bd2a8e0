"""Where somebody stands of whom only a profile, or a profile and a few friends, are known.

A ridge regression from the values of a profile to the places of those who have friends (Hoerl, Kennard 1970) says where
such a person would be expected; each friend says it better (Nystrom extension of the eigenvectors).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from models.graph import Graph

Floats = NDArray[np.float32]

PENALTY = 10.0
"""how many people a value of the profile must have before it is believed half"""
DENSE_VALUES = 4_096
"""values up to which the regression is solved at once"""
PROFILE_PRIOR_FRIENDS = 2.0
"""how many friends the profile counts for"""


@dataclass(frozen=True)
class ProfileMap:
    """What each value of a profile says of its person's place.

    `weights` (values, k + d) float32 and `intercept` (k + d,) float32: coordinates in the spectrum, then the embedding.
    """

    weights: Floats
    intercept: Floats
    dimensions: int
    """k"""

    @classmethod
    def fit(
        cls, values: csr_array, coordinates: Floats, embeddings: Floats, degrees: NDArray[np.integer]
    ) -> "ProfileMap":
        """The map of n people who have `values` (n, V) of 0 and 1, learnt from those with friends."""
        k = coordinates.shape[1]
        known = np.flatnonzero(degrees > 0)
        if not values.nnz or not len(known):
            return cls.silent(values.shape[1], k, embeddings.shape[1])
        targets = np.concatenate([coordinates[known], embeddings[known]], axis=1)
        weights, intercept = _ridge(values[known], targets)
        return cls(weights, intercept, k)

    @classmethod
    def silent(cls, values: int, k: int, d: int) -> "ProfileMap":
        """The map that says nothing of anybody."""
        return cls(np.zeros((values, k + d), np.float32), np.zeros(k + d, np.float32), k)

    def place(self, values: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Coordinates (k,) and embedding (d,), not normalised, of one person who has these values."""
        place = self.intercept + self.weights[values].sum(axis=0)
        return place[: self.dimensions], place[self.dimensions :]

    def places(self, values: csr_array) -> tuple[Floats, Floats]:
        """The same (n, k) and (n, d) of n people with `values` (n, V)."""
        places = np.asarray(values @ self.weights, dtype=np.float32) + self.intercept
        return places[:, : self.dimensions], places[:, self.dimensions :]


def _ridge(values: csr_array, targets: Floats) -> tuple[Floats, Floats]:
    """Weights (V, t) and intercept (t,) of the ridge regression from `values` (n, V) to `targets` (n, t).

    All targets share one factorisation where there are few values; else each is solved by conjugate gradients.
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
    """(n, values) float32 of 0 and 1 from the values of each person, `codes[indptr[row] : indptr[row + 1]]`."""
    return csr_array((np.ones(len(codes), np.float32), codes, indptr), shape=(len(indptr) - 1, values))


def shrink_towards_profile(
    profiles: ProfileMap, values: csr_array, coordinates: Floats, embeddings: Floats, degrees: NDArray[np.integer]
) -> tuple[Floats, Floats]:
    """Coordinates (n, k) and embeddings (n, d) of everybody, drawn towards what the profile says as friends are few.

    Who has no friend is wholly where the profile says. Where nobody has a profile nothing changes.
    """
    if not profiles.weights.any():
        return coordinates, embeddings
    near, alike = profiles.places(values)
    said = np.diff(values.indptr) > 0
    pull = np.where(said | (degrees == 0), PROFILE_PRIOR_FRIENDS / (degrees + PROFILE_PRIOR_FRIENDS), 0).astype(
        np.float32
    )
    alone = degrees == 0
    moved = embeddings.copy()
    moved[alone] = unit(alike[alone])
    return coordinates + pull[:, None] * near, moved


def from_friends(graph: Graph, eigenvalues: Floats, coordinates: Floats, friends: NDArray[np.int32]) -> Floats:
    """(k,) where somebody with these friends stands in the spectrum of a graph that does not know of them."""
    if not len(friends) or not len(graph.indices):
        return np.zeros(coordinates.shape[1], np.float32)
    regularised = graph.degrees[friends] + max(float(graph.degrees.mean()), 1.0)
    inverse = np.where(eigenvalues > 0, 1 / np.maximum(eigenvalues, 1e-6), 0)
    return np.asarray((coordinates[friends] / regularised[:, None]).sum(axis=0) * inverse, dtype=np.float32)


def unit(vectors: Floats) -> Floats:
    """Rows (n, d) brought to length one; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)
