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
    parted = ring(dates).parted(0.1, 0)
    assert parted.cut == 90
    assert parted.kept.dates is not None
    assert sorted(parted.kept.dates.tolist()) == list(range(90))


def test_the_kept_part_can_be_parted_again() -> None:
    parted = ring(np.arange(100)).parted(0.1, 0).kept.parted(0.1, 0)
    assert parted.cut == 81
    assert parted.kept.count == 81


def test_dates_that_order_nothing_give_no_moment_to_look_back_from() -> None:
    for dates in (np.full(100, 7), np.concatenate([np.full(99, UNDATED), [5]])):
        parted = ring(dates).parted(0.1, 0)
        assert parted.cut is None
        assert len(parted.hidden.indices) == 20
        assert parted.kept.count == 90
