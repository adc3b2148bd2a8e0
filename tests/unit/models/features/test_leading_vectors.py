"""The leading eigenpairs of large graphs: those of Lanczos, whatever the threads."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, triu
from scipy.sparse.linalg import eigsh

from models.features import leading_vectors
from models.features.leading_vectors import Basis, leading_eigenpairs
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
    basis = leading_eigenpairs(matrix, 10)
    values, vectors = basis.values[:10], basis.vectors[:, :10]
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


def without_some(matrix: csr_array, share: float) -> csr_array:
    """The matrix without a share of its entries, symmetric."""
    pairs = triu(matrix, format="coo")
    kept = np.random.default_rng(3).random(pairs.nnz) >= share
    half = coo_array((pairs.data[kept], (pairs.row[kept], pairs.col[kept])), shape=matrix.shape)
    return csr_array(half + half.T)


def spanned(axes: np.ndarray, vectors: np.ndarray) -> float:
    """The share of the space of `axes` that lies in that of `vectors`."""
    return float(np.mean(np.linalg.svd(axes.T @ vectors, compute_uv=False) ** 2))


def test_from_the_basis_of_a_similar_matrix_a_third_of_the_work_finds_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = normalised(2)
    near = leading_eigenpairs(without_some(matrix, 0.1), 40)
    axes = eigsh(matrix.astype(np.float64), k=40, which="LA", v0=np.ones(PEOPLE))[1]
    anew, warm = leading_eigenpairs(matrix, 40), leading_eigenpairs(matrix, 40, near=near)
    assert spanned(axes, near.vectors[:, :40]) < 0.9, "the matrices differ"
    assert min(spanned(axes, one.vectors[:, :40]) for one in (anew, warm)) > 0.998
    monkeypatch.setattr(leading_vectors, "ROUNDS", leading_vectors.ROUNDS_FROM_NEAR)
    assert spanned(axes, leading_eigenpairs(matrix, 40).vectors[:, :40]) < 0.9, "from nothing it is not enough"


def test_a_basis_is_kept_in_files_and_one_of_another_width_passed_over(tmp_path: Path) -> None:
    matrix = normalised(2)
    near = leading_eigenpairs(without_some(matrix, 0.1), 40)
    assert Basis.open(tmp_path / "basis") is None
    for basis in (leading_eigenpairs(matrix, 100), near):
        basis.save(tmp_path / "basis")
    opened = Basis.open(tmp_path / "basis")
    assert opened is not None
    again, same = (leading_eigenpairs(matrix, 40, near=one) for one in (opened, near))
    np.testing.assert_array_equal(again.vectors, same.vectors)
    wide, wider = leading_eigenpairs(matrix, 100), leading_eigenpairs(matrix, 100, near=near)
    np.testing.assert_array_equal(wide.vectors, wider.vectors)
