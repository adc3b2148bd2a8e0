"""Friendships parted by date, and where the window begins."""

import numpy as np
import pytest

from models.graph import Graph
from offline.features.temporal_graph import Friendships
from offline.night.config import NightConfig
from offline.night.train import extra_splits
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


@pytest.mark.parametrize(
    ("days", "is_dated"), [([3] * 40, False), ([UNDATED] * 39 + [5], False), (list(range(40)), True)]
)
def test_dates_of_one_moment_or_of_a_few_give_no_order(days: list[int], is_dated: bool) -> None:
    assert ring(np.array(days)).have_order == is_dated


def test_windows_go_back_one_before_the_other_each_as_of_its_beginning() -> None:
    n = 400
    a = np.arange(n)
    whole = Graph.from_pairs(n, np.concatenate([a, a, a]), np.concatenate([(a + d) % n for d in (1, 2, 3)]))
    readable = Friendships(whole, np.random.default_rng(1).permutation(len(whole.indices) // 2))
    config = NightConfig.model_validate({"split": {"least_labels": 0}, "ranker": {"lists": 100_000}})
    outcomes = readable.split_edges(0.1, 0)
    messages = outcomes.kept.split_edges(0.1, 0).kept
    parts = list(extra_splits(readable, messages, outcomes, config))
    assert len(parts) == config.ranker.rounds - 1
    later = messages
    for part in parts:
        assert part.cut is not None
        assert part.kept.dates is not None
        assert part.kept.dates.max() < part.cut
        assert not part.kept.graph.contains(*part.hidden.pairs()).any()
        assert later.graph.contains(*part.hidden.pairs()).all()
        assert part.kept.count >= 0.45 * readable.count
        later = part.kept
    few = config.model_copy(update={"ranker": config.ranker.model_copy(update={"lists": 1})})
    assert list(extra_splits(readable, messages, outcomes, few)) == []
