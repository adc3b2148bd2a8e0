"""The leading eigenvectors: the same for the same graph, even if eigenvalues are equal."""

import numpy as np
import pytest

from models.features.spectral import (
    NOISE,
    Spectral,
    spectral_embedding,
)
from models.graph import Graph

PEOPLE = 40
SHAPES = {
    "star": [(0, other) for other in range(1, PEOPLE)],
    "path": [(one, one + 1) for one in range(PEOPLE - 1)],
    "couples": [(one, one + 1) for one in range(0, PEOPLE, 2)],
    "cliques": [(one, other) for one in range(PEOPLE) for other in range(one + 1, PEOPLE) if one // 5 == other // 5],
    "complete": [(one, other) for one in range(PEOPLE) for other in range(one + 1, PEOPLE)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_graph_gives_the_same_vectors(shape: str) -> None:
    graph = Graph.from_pairs(PEOPLE, *np.array(SHAPES[shape]).T)
    first, second = spectral_embedding(graph), spectral_embedding(graph)
    assert first.vectors.shape == (PEOPLE, PEOPLE // 4)
    assert 0 < first.values[0] <= 1
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_allclose(first.vectors.T @ first.vectors, np.eye(PEOPLE // 4), atol=1e-3)


def test_users_without_friends_are_at_zero() -> None:
    graph = Graph.from_pairs(16, [0, 1, 2], [1, 2, 3])
    assert not spectral_embedding(graph).vectors[4:].any()
    nobody = spectral_embedding(Graph.from_pairs(16, [], []))
    assert (nobody.values.tolist(), nobody.vectors.shape) == ([0.0], (16, 1))


def random_graph(n: int, m: int, seed: int = 0) -> Graph:
    random = np.random.default_rng(seed)
    return Graph.from_pairs(n, random.integers(n, size=m), random.integers(n, size=m))


def test_the_eigenpairs_are_those_of_a_dense_decomposition() -> None:
    graph = random_graph(80, 300)
    dense = np.zeros((80, 80))
    a, b = graph.pairs()
    regularised = graph.degrees + graph.degrees.mean()
    dense[a, b] = dense[b, a] = 1 / np.sqrt(regularised[a] * regularised[b])
    values, vectors = np.linalg.eigh(dense)
    found = spectral_embedding(graph)
    np.testing.assert_allclose(found.values, values[::-1][:20], atol=1e-4)
    overlap = np.abs((found.vectors * vectors[:, ::-1][:, :20]).sum(axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-2)


def test_at_most_the_given_dimensions_and_a_quarter_of_the_users() -> None:
    assert spectral_embedding(random_graph(80, 300), 3).vectors.shape == (80, 3)
    assert spectral_embedding(random_graph(80, 300), 99).vectors.shape == (80, 20)
    for n in (0, 1, 3):
        assert spectral_embedding(random_graph(n, 9) if n else Graph.from_pairs(0, [], [])).vectors.shape == (n, 1)


def test_inner_products_of_the_coordinates_separate_two_communities() -> None:
    a, b = np.triu_indices(20, 1)
    graph = Graph.from_pairs(41, np.concatenate([a, a + 20, [0]]), np.concatenate([b, b + 20, [20]]))
    coordinates = spectral_embedding(graph, 2).coordinates()
    assert not coordinates[40].any()
    estimated = coordinates @ coordinates.T
    np.testing.assert_allclose(estimated[1:20, 1:20], 1, atol=0.1)
    np.testing.assert_allclose(estimated[1:20, 21:40], 0, atol=0.1)


def test_coordinates_weigh_by_the_root_of_the_shrunk_eigenvalue_and_positions_by_itself() -> None:
    values, vectors = np.array([0.9, 0.4, -0.2], np.float32), np.array([[0.6, 0.8, 5], [0, 0, 3]], np.float32)
    spectral = Spectral(values, vectors, np.array([2, 3], np.float32))
    sharp = values[:2] ** 3 / (values[:2] ** 2 + NOISE)
    np.testing.assert_allclose(spectral.norms(), [2 * np.sqrt(sharp @ [0.36, 0.64]), 0], rtol=1e-6)
    scale = np.sqrt(2) / np.sqrt(np.mean(values**2))
    np.testing.assert_allclose(spectral.positions(), vectors * values * scale, rtol=1e-5)


def rotation(k: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(k, k)))[0].astype(np.float32)


def test_alignment_undoes_a_rotation_seen_on_some_of_the_people() -> None:
    spectral = spectral_embedding(random_graph(120, 500))
    k = len(spectral.values)
    order = np.random.default_rng(1).permutation(120)
    for turn in (rotation(k), np.diag(np.where(np.arange(k) % 2, 1, -1)).astype(np.float32), np.eye(k)[::-1]):
        elsewhere = (spectral.positions() @ turn)[order]  # row r there is row order[r] here
        shared = np.arange(60)
        turned = spectral.aligned(elsewhere.astype(np.float32), order[shared], shared)
        np.testing.assert_allclose(turned[order], elsewhere, atol=1e-4)


def test_a_graph_that_grew_a_little_is_aligned_to_its_former_coordinates() -> None:
    graph = random_graph(160, 1600)
    a, b = graph.pairs()
    kept = np.random.default_rng(2).random(len(a)) > 0.03
    before, after = spectral_embedding(Graph.from_pairs(160, a[kept], b[kept]), 4), spectral_embedding(graph, 4)
    rows = np.arange(160)
    there, here = before.positions(), after.positions()
    turned = after.aligned(there, rows, rows)
    assert np.linalg.norm(turned - there) <= np.linalg.norm(here - there) + 1e-6
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(here, axis=1), atol=1e-4)


@pytest.mark.parametrize("width", [1, 10, 30])
def test_alignment_has_the_width_of_the_other_graph_for_any_shared_users(width: int) -> None:
    spectral = spectral_embedding(random_graph(80, 300))  # of ten dimensions
    other = np.random.default_rng(3).normal(size=(50, width)).astype(np.float32)
    none, some = np.zeros(0, np.int64), np.arange(20)
    assert spectral.aligned(other, some, some).shape == (80, width)
    np.testing.assert_array_equal(spectral.aligned(other, none, none), np.zeros((80, width)))
