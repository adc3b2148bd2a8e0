"""Which friendships are recent enough to learn from."""

import numpy as np
import pytest

from models.graph import Graph
from models.system.clock import DAY_S
from offline.features.temporal_graph import Friendships
from offline.night.config import NightConfig, SplitConfig
from offline.night.retraining.label_window import label_share, oldest_label
from offline.night.train import extra_splits

DAYS = 1000
"""a friendship is made every hour"""


def hourly(n: int = 2000) -> Friendships:
    rows = np.arange(n)
    whole = Graph.from_pairs(n, np.tile(rows, 12), np.concatenate([(rows + step) % n for step in range(1, 13)]))
    dates = np.random.default_rng(0).permutation(len(whole.indices) // 2) * (DAY_S // 24)
    return Friendships(whole, dates)


def window(**fields: float) -> SplitConfig:
    return SplitConfig.model_validate({"least_labels": 0, "least_recent": 1, "label_days": 20, **fields})


def test_the_window_ends_with_the_last_friendship_that_may_be_read() -> None:
    known = hourly()
    assert known.dates is not None
    assert oldest_label(known, window()) == known.dates.max() - 20 * DAY_S


@pytest.mark.parametrize("config", [window(label_days=0), SplitConfig(label_days=0)])
def test_without_a_window_labels_are_as_old_as_their_share_wants(config: SplitConfig) -> None:
    known = hourly()
    assert oldest_label(known, config) is None
    assert label_share(known, config, None, parts=2) == config.labels_of(known.count)


def test_without_dates_there_is_no_window() -> None:
    known = Friendships(hourly().graph, None)
    assert oldest_label(known, window()) is None
    assert label_share(known, window(), None, parts=2) == window().labels_of(known.count)


def test_both_parts_lie_in_the_window() -> None:
    known, config = hourly(), window()
    oldest = oldest_label(known, config)
    assert oldest is not None
    first = known.split_edges(label_share(known, config, oldest, parts=2), 0)
    second = first.kept.split_edges(label_share(first.kept, config, oldest, parts=1), 0)
    assert first.cut is not None
    assert second.cut is not None
    assert oldest <= second.cut < first.cut
    assert len(first.hidden.indices) // 2 == pytest.approx(240, abs=30)
    assert len(second.hidden.indices) // 2 == pytest.approx(240, abs=30)
    assert second.kept.count > 0.97 * known.count, "older friendships stay in the graph"


def test_a_small_network_reaches_further_back() -> None:
    known, config = hourly(), window(least_recent=1000)
    assert label_share(known, config, oldest_label(known, config), parts=2) == pytest.approx(1000 / known.count)
    default = SplitConfig()
    assert label_share(known, default, oldest_label(known, default), parts=2) == default.labels_of(known.count)


def test_a_window_that_holds_nearly_all_changes_nothing() -> None:
    known, config = hourly(), window(label_days=DAYS)
    assert label_share(known, config, oldest_label(known, config), parts=2) == config.labels_of(known.count)


@pytest.mark.parametrize(("least", "parts"), [(1, 0), (100_000, 5)])
def test_no_window_of_the_ranker_is_older_unless_it_needs_more(least: int, parts: int) -> None:
    known, split = hourly(), window(least_recent=least)
    config = NightConfig.model_validate({"split": split.model_dump(), "ranker": {"lists": 100_000}})
    outcomes = known.split_edges(0.02, 0)
    messages = outcomes.kept.split_edges(0.02, 0).kept
    found = list(extra_splits(known, messages, outcomes, config))
    assert len(found) == parts


def test_the_window_alone_makes_no_night_train_again() -> None:
    """Weights of a release without it were learned from the same labels, but for networks of many friendships."""
    assert NightConfig().learning() == NightConfig.model_validate({"split": {}}).learning()
    other = NightConfig.model_validate({"split": {"label_days": 30}})
    assert other.learning() != NightConfig().learning()
    assert NightConfig(warm_start=False).learning() == NightConfig().learning()
