"""The friendships that one order of candidates finds, over those of another."""

import numpy as np
import pytest

from models.graph import Graph
from offline.evaluation.outcomes.friendships import recall_ratio


def test_the_ratio_of_what_two_orders_find() -> None:
    held_out = Graph.from_pairs(6, np.array([0, 0, 1]), np.array([4, 5, 5]))
    users = np.array([0, 1, 2])
    both = np.full((3, 20), -1, np.int32)
    both[0, :2], both[1, 0] = [4, 5], 5
    one = both.copy()
    one[0, 1], one[1, 0] = 3, 3
    found = recall_ratio(held_out, users, one, both)
    assert found is not None
    assert found.value == pytest.approx(0.25)
    same = recall_ratio(held_out, users, both, both)
    assert same is not None
    assert (same.low, same.high) == (1, 1)
    assert recall_ratio(held_out, users, both, np.full_like(both, -1)) is None
    assert recall_ratio(held_out, np.array([2, 3]), both[1:], both[1:]) is None
