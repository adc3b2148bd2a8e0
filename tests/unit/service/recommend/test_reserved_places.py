"""The order of contacts who were found at the same time."""

import numpy as np

from models.graph import Graph
from service.recommend.reserved_places import _mutual


def test_mutual_friends_are_counted_for_all_contacts_at_once() -> None:
    draw = np.random.default_rng(5)
    n = 60
    graph = Graph.from_pairs(n, draw.integers(0, n, 300), draw.integers(0, n, 300))
    alone = Graph.from_directed(n + 1, graph.indptr[:0], graph.indptr[:0])
    friends = graph.neighbours(7)
    rows = np.array([3, -1, 7, 9, -1, 0])
    counts = _mutual(graph, rows, friends)
    expected = [len(np.intersect1d(graph.neighbours(row), friends)) if row >= 0 else 0 for row in rows.tolist()]
    assert counts.tolist() == expected
    assert sum(expected) > 0
    assert _mutual(graph, rows, friends[:0]).tolist() == [0] * len(rows)
    assert _mutual(graph, rows[:0], friends).tolist() == []
    assert _mutual(alone, np.array([0, 60]), friends).tolist() == [0, 0]
