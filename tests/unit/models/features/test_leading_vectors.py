"""The leading eigenpairs of large graphs: those of Lanczos, whatever the threads."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import eigsh

from models.features.leading_vectors import leading_eigenpairs
from models.graph import Graph

PEOPLE, GROUPS = 1200, 12


def normalised(seed: int = 0) -> csr_array:
    """The scaled adjacency of a network of groups, of which some are larger than others."""
    random = np.random.default_rng(seed)
    group = np.minimum(random.geometric(0.15, PEOPLE), GROUPS)
    a, b = random.integers(PEOPLE, size=(2, 60_000))
    among = (group[a] == group[b]) | (random.random(len(a)) < 0.05)
    graph = Graph.from_pairs(PEOPLE, a[among], b[among])
    root = np.sqrt(graph.degrees + graph.degrees.mean())
    owners = np.repeat(np.arange(PEOPLE), graph.degrees)
    values = (1 / (root[owners] * root[graph.indices])).astype(np.float32)
    return csr_array((values, graph.indices, graph.indptr), shape=(PEOPLE, PEOPLE))


def test_values_and_space_are_those_of_lanczos() -> None:
    matrix = normalised()
    values, vectors = leading_eigenpairs(matrix, 10)
    expected, axes = eigsh(matrix.astype(np.float64), k=10, which="LA", v0=np.ones(PEOPLE))
    np.testing.assert_allclose(values, expected[::-1], atol=2e-4)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(10), atol=1e-4)
    # every direction of the one lies in the other
    assert np.linalg.svd(axes.T @ vectors, compute_uv=False).min() > 0.99
    residual = matrix @ vectors - vectors * values
    assert np.linalg.norm(residual, axis=0).max() < 1e-2


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads: int) -> None:
    matrix = normalised(1)
    one, several = leading_eigenpairs(matrix, 40, threads=1), leading_eigenpairs(matrix, 40, threads=threads)
    np.testing.assert_array_equal(one[0], several[0])
    np.testing.assert_array_equal(one[1], several[1])
