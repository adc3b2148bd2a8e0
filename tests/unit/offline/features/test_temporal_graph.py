"""Friendships parted by date, and where the window begins."""

import numpy as np

from models.graph import Graph
from offline.features.temporal_graph import Friendships
from offline.snapshot.snapshot import UNDATED


def ring(dates: np.ndarray) -> Friendships:
    n = len(dates)
    return Friendships(Graph.from_pairs(n, np.arange(n), (np.arange(n) + 1) % n), dates)


def test_a_window_begins_after_everything_that_is_kept() -> None:
    dates = np.random.default_rng(0).permutation(100)
    split_edges = ring(dates).split_edges(0.1, 0)
    assert split_edges.cut == 90
    assert split_edges.kept.dates is not None
    assert sorted(split_edges.kept.dates.tolist()) == list(range(90))


def test_the_kept_part_can_be_parted_again() -> None:
    split_edges = ring(np.arange(100)).split_edges(0.1, 0).kept.split_edges(0.1, 0)
    assert split_edges.cut == 81
    assert split_edges.kept.count == 81


def test_dates_that_order_nothing_give_no_moment_to_look_back_from() -> None:
    for dates in (np.full(100, 7), np.concatenate([np.full(99, UNDATED), [5]])):
        split_edges = ring(dates).split_edges(0.1, 0)
        assert split_edges.cut is None
        assert len(split_edges.hidden.indices) == 20
        assert split_edges.kept.count == 90
