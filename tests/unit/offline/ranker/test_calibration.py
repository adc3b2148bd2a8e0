"""Probabilities of a graph that lacks a tenth of its friendships, calibrated on one that lacks far fewer."""

import numpy as np
import pytest

from models.graph import Graph
from offline.features.temporal_graph import Friendships
from offline.ranker.calibration import (
    UNKNOWN_SHARE,
    calibration_splits,
    fit_curve,
    outcome_weight,
    sampled_viewers,
)
from offline.ranker.config import RankerConfig


def complete(n: int) -> Graph:
    return Graph.from_pairs(n, *np.triu_indices(n, 1))


def thin(graph: Graph, config: RankerConfig) -> list[int]:
    """How many friendships each round hides."""
    readable = Friendships(graph, None)
    return [len(part.hidden.indices) // 2 for part in calibration_splits(readable, readable, config, seed=0)]


def test_small_graphs_are_hidden_from_in_several_rounds() -> None:
    config = RankerConfig(calibration_share=0.05, calibration_pairs=500, calibration_rounds=4)
    assert thin(complete(101), config) == [252, 252]
    assert thin(complete(40), config) == [39] * 4
    assert thin(complete(200), config) == [995]
    assert thin(Graph.from_pairs(3, [0], [1]), config) == []


def test_rounds_differ_and_leave_the_rest() -> None:
    graph = complete(40)
    readable = Friendships(graph, None)
    first, second, *_ = calibration_splits(readable, readable, RankerConfig(), seed=0)
    assert not np.array_equal(first.hidden.indices, second.hidden.indices)
    for part in (first, second):
        assert len(part.kept.graph.indices) + len(part.hidden.indices) == len(graph.indices)


def test_nothing_thin_is_hidden_of_dated_friendships() -> None:
    graph = complete(40)
    dated = Friendships(graph, np.arange(len(graph.indices) // 2))
    assert list(calibration_splits(dated, dated, RankerConfig(), seed=0)) == []


def test_a_hidden_friendship_stands_for_the_unknown_ones() -> None:
    readable = Friendships(complete(101), None)
    (part,) = calibration_splits(readable, readable, RankerConfig(calibration_share=0.02, calibration_rounds=1), seed=0)
    assert outcome_weight(part) == pytest.approx((UNKNOWN_SHARE / (1 - UNKNOWN_SHARE)) / (0.02 / 0.98), rel=1e-3)


def test_people_with_friends_ask_whether_or_not_theirs_were_hidden() -> None:
    graph, active = Graph.from_pairs(6, [0, 1, 2], [1, 2, 3]), np.array([True, False, True, True, True, True])
    assert sampled_viewers(graph, active, 10, seed=0).tolist() == [0, 2, 3]
    assert len(sampled_viewers(graph, active, 2, seed=0)) == 2


@pytest.mark.parametrize("worth", [1.0, 5.0])
def test_the_curve_is_found_by_outcomes_that_stand_for_several(worth: float) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200_000, 2)) * [1.0, 30.0] + [3.0, 100.0]
    odds = 1.2 * inputs[:, 0] - 0.02 * inputs[:, 1] - 4.0
    outcomes = (random.random(len(odds)) < 1 / (1 + np.exp(-odds)) / worth) * worth
    assert fit_curve(inputs, outcomes) == pytest.approx([1.2, -0.02, -4.0], rel=0.1)
