"""The leading eigenvectors: the same for the same graph, also where they have no order of their own."""

import numpy as np
import pytest

from models.features.spectral import spectral_embedding
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
    assert first.vectors.shape == (PEOPLE, PEOPLE // 8)
    assert first.values[0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_allclose(first.vectors.T @ first.vectors, np.eye(PEOPLE // 8), atol=1e-3)


def test_people_without_friends_stand_at_zero() -> None:
    graph = Graph.from_pairs(16, [0, 1, 2], [1, 2, 3])
    assert not spectral_embedding(graph).vectors[4:].any()
    nobody = spectral_embedding(Graph.from_pairs(16, [], []))
    assert (nobody.values.tolist(), nobody.vectors.shape) == ([0.0], (16, 1))
