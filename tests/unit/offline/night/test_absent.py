"""Who was not heard of for long, by interactions and by friendships with dates."""

import numpy as np

from models.graph import Graph
from offline.features.temporal_graph import Friendships
from offline.night.build_version import absent

GRAPH = Graph.from_pairs(6, [0, 2], [1, 3])


def test_the_last_interaction_or_friendship_counts() -> None:
    # 0 and 1 are friends since 100, 2 and 3 since 900; 0 did something at 950, 4 at 200, and 5 never
    known = Friendships(GRAPH, np.array([100, 900]))
    found = absent(np.array([0, 0, 4]), np.array([50, 950, 200]), known, 500)
    assert found.tolist() == [False, True, False, False, True, False]


def test_without_dates_interactions_alone_count() -> None:
    found = absent(np.array([4], np.int32), np.array([200]), Friendships(GRAPH, None), 500)
    assert found.tolist() == [False, False, False, False, True, False]
