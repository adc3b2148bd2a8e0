"""What a model sees of one person's place in the graph, against plain counting."""

from itertools import combinations

import numpy as np
import pytest

from models.features.user_statistics import LARGEST_SAMPLE, SHORTEST, user_statistics
from models.graph import Graph
from models.schema.statistic_names import (
    CLUSTERING,
    FRIENDS_LOG_DEGREE,
    LOG_DEGREE,
    LOG_SPECTRAL_NORM,
    STATISTICS,
)


def statistics(graph: Graph) -> np.ndarray:
    return user_statistics(graph, np.ones(graph.n, np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_they_equal_what_one_counts_by_hand(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = Graph.from_pairs(40, random.integers(36, size=200), random.integers(36, size=200))
    norms = random.random(40).astype(np.float32)
    found = user_statistics(graph, norms)
    assert found.shape == (40, len(STATISTICS))
    assert found.dtype == np.float32
    for row in range(40):
        friends = graph.neighbours(row).tolist()
        pairs = list(combinations(friends, 2))
        closed = sum(b in graph.neighbours(a) for a, b in pairs)
        assert found[row, LOG_DEGREE] == pytest.approx(np.log1p(len(friends)))
        assert found[row, CLUSTERING] == pytest.approx(closed / len(pairs) if pairs else 0)
        mean = np.mean([np.log1p(len(graph.neighbours(friend))) for friend in friends]) if friends else 0
        assert found[row, FRIENDS_LOG_DEGREE] == pytest.approx(mean, rel=1e-5)
        assert found[row, LOG_SPECTRAL_NORM] == pytest.approx(np.log(max(norms[row], SHORTEST)), rel=1e-5)


def test_cliques_are_closed_and_stars_are_open() -> None:
    clique = Graph.from_pairs(5, *np.triu_indices(5, 1))
    assert statistics(clique)[:, CLUSTERING].tolist() == [1] * 5
    star = Graph.from_pairs(5, [0] * 4, [1, 2, 3, 4])
    assert statistics(star)[:, CLUSTERING].tolist() == [0] * 5
    assert statistics(star)[1:, FRIENDS_LOG_DEGREE] == pytest.approx(np.log(5))


def test_of_many_friends_a_sample_is_looked_at() -> None:
    # 0 knows 500 people; those of the first half all know each other, which is a quarter of all pairs
    half = np.triu_indices(250, 1)
    graph = Graph.from_pairs(
        501, np.concatenate([np.zeros(500, int), half[0] + 1]), np.concatenate([np.arange(1, 501), half[1] + 1])
    )
    assert graph.degrees[0] > LARGEST_SAMPLE
    found = statistics(graph)
    assert found[0, CLUSTERING] == pytest.approx(0.25, abs=0.02)
    assert found[1, CLUSTERING] == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_without_friends_all_is_zero_but_the_spectral_length(n: int) -> None:
    found = user_statistics(Graph.from_pairs(n, [], []), np.zeros(n, np.float32))
    assert found.shape == (n, len(STATISTICS))
    np.testing.assert_allclose(found, np.tile([0, 0, 0, np.log(SHORTEST)], (n, 1)), rtol=1e-6)
