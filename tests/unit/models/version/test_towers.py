"""Queries of people with very many new friends."""

import numpy as np

from models.graph import Graph
from models.version.towers import MOST_FOLDED, Towers

PEOPLE, DIMENSIONS = 6_000, 16


def test_the_query_of_very_many_friends_is_estimated_from_some_of_them() -> None:
    rng = np.random.default_rng(0)
    codes = (rng.normal(20, 40, (PEOPLE, DIMENSIONS)).clip(-127, 127)).astype(np.int8)
    ones = np.ones(DIMENSIONS, np.float32)
    towers = Towers(codes, ones, ones, ones)
    pairs = rng.integers(0, PEOPLE, (30_000, 2))
    graph = Graph.from_pairs(PEOPLE, pairs[:, 0], pairs[:, 1])
    friends = np.sort(rng.choice(PEOPLE, 5_000, replace=False)).astype(np.int32)
    mean = len(graph.indices) / graph.n
    exact = (1 / (graph.degrees_of(friends) + mean)) @ codes[friends].astype(np.float64)
    estimate = towers.fold_in(graph, friends)
    assert np.linalg.norm(estimate - exact) < 0.15 * np.linalg.norm(exact)
    few = friends[:MOST_FOLDED]
    np.testing.assert_allclose(
        towers.fold_in(graph, few), (1 / (graph.degrees_of(few) + mean)) @ codes[few].astype(np.float64), rtol=1e-4
    )
