"""Reports of evaluated lists, their intervals, the table, and the gate."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.errors import ArtefactError
from models.graph import Graph
from offline.evaluation.bootstrap import Interval, ratio_interval, resampled_means
from offline.evaluation.rendering import render
from offline.evaluation.report import Difference, Report, Retraining, judge_lists

PAIRS = 100
"""held-out friendships (0, 100), (1, 101), ...: user u's one new friend is u + 100"""


def held_out() -> Graph:
    return Graph.from_pairs(2 * PAIRS, np.arange(PAIRS), np.arange(PAIRS) + PAIRS)


def lists_that_find(share: float, width: int = 20, seed: int = 0) -> np.ndarray:
    """Lists for users 0 to 99 that hold the new friend in the first place for a share of them."""
    lists = np.full((PAIRS, width), -1, np.int32)
    lists[:, 0] = (np.arange(PAIRS) + 1) % PAIRS
    found = np.random.default_rng(seed).permutation(PAIRS)[: round(share * PAIRS)]
    lists[found, 0] = found + PAIRS
    return lists


def judged(system: float, base: float, **options: int) -> Report:
    lists = {"system": lists_that_find(system), "resource_allocation": lists_that_find(base)}
    return judge_lists(held_out(), np.arange(PAIRS), lists, **options)


def test_each_method_is_evaluated_at_the_limits_of_its_lists() -> None:
    lists = {"wide": lists_that_find(0.4, 50), "narrow": lists_that_find(0.7, 19)}
    report = judge_lists(held_out(), np.arange(PAIRS), lists)
    assert (report.users, report.held_out) == (PAIRS, PAIRS)
    assert {name: sorted(at) for name, at in report.methods.items()} == {"wide": [5, 20, 50], "narrow": [5]}
    for metric in ("recall", "ndcg", "mrr", "hit"):
        assert getattr(report.methods["wide"][20], metric).value == pytest.approx(0.4)
        assert getattr(report.methods["narrow"][5], metric).value == pytest.approx(0.7)
    assert report.ratio is None


def test_users_without_a_held_out_friendship_are_not_evaluated() -> None:
    held = Graph.from_pairs(6, [0], [1])
    lists = {"system": np.array([[5], [0], [1], [1]], np.int32).repeat(5, axis=1)}
    report = judge_lists(held, np.array([0, 1, 2, 3]), lists)
    assert report.users == 2
    assert report.methods["system"][5].hit.value == 0.5


def test_an_empty_place_never_counts_as_found() -> None:
    # the last row is the friend of row 0, which -1 would name if it were taken for an index
    held = Graph.from_pairs(4, [0, 1], [3, 3])
    report = judge_lists(held, np.array([0, 1, 3]), {"system": np.full((3, 5), -1, np.int32)})
    assert report.methods["system"][5].recall.value == 0


def test_no_user_to_evaluate_gives_an_empty_report_that_passes() -> None:
    report = judge_lists(Graph.from_pairs(5, [], []), np.arange(5), {"system": np.zeros((5, 20), np.int32)})
    assert report.users == 0
    assert report.ratio is None
    output = io.StringIO()
    render(report, Console(file=output))
    assert "No user to evaluate" in output.getvalue()


def test_an_interval_holds_the_mean_narrows_with_users_and_is_the_same_by_the_same_seed() -> None:
    random = np.random.default_rng(0)
    widths = []
    for users in (100, 10_000):
        values = random.random((users, 1))
        means = resampled_means(values, 400)
        low, high = np.quantile(means, [0.025, 0.975])
        assert low < values.mean() < high
        # the standard error of a mean of uniform draws is 1 / sqrt(12 n)
        assert high - low == pytest.approx(2 * 1.96 / np.sqrt(12 * users), rel=0.2)
        widths.append(high - low)
    assert widths[1] < widths[0] / 5
    assert (resampled_means(values, 30, seed=7) == resampled_means(values, 30, seed=7)).all()
    assert (resampled_means(values, 30, seed=7) != resampled_means(values, 30, seed=8)).any()


def test_resamples_are_drawn_whole_however_many_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 3))
    whole = resampled_means(values, 40)
    monkeypatch.setattr("offline.evaluation.bootstrap._DRAWS_AT_ONCE", 120)
    assert resampled_means(values, 40) == pytest.approx(whole)


def test_intervals_of_a_ratio_are_paired() -> None:
    same = judged(0.5, 0.5).ratio
    assert same is not None
    assert (same.recall.low, same.recall.value, same.recall.high) == (1, 1, 1)
    ratio = judged(0.6, 0.4).ratio
    assert ratio is not None
    assert ratio.recall.value == pytest.approx(1.5)
    assert 1 < ratio.recall.low < 1.5 < ratio.recall.high


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio_interval(0.5, 0.0, np.ones(3), np.zeros(3)) is None
    assert judged(0.5, 0.0).ratio is None
    assert not judged(0.5, 0.0).against
    assert ratio_interval(0.5, 0.5, np.array([0.5, 0.5]), np.array([0.5, 0.0])) == Interval(value=1, low=1, high=1)


def test_a_report_reads_back_and_a_broken_one_is_refused_by_name(tmp_path: Path) -> None:
    report = judged(0.6, 0.4)
    report.write(tmp_path)
    assert Report.read(tmp_path) == report
    assert report.summary()["recall@20"] == pytest.approx(0.6)
    assert report.summary()["ratio"] == pytest.approx(1.5)
    (tmp_path / "report.json").write_bytes(b'{"users": 3')
    with pytest.raises(ArtefactError, match=r"report\.json"):
        Report.read(tmp_path)


def test_the_table_marks_the_best_of_each_column_and_is_plain_off_a_terminal() -> None:
    lists = {"jaccard": lists_that_find(0.3, 50), "system": lists_that_find(0.6, 50)}
    report = judge_lists(held_out(), np.arange(PAIRS), lists)
    output = io.StringIO()
    render(report, Console(file=output))
    text = output.getvalue()
    assert "\x1b" not in text
    assert text.isascii()
    rows = [line for line in text.splitlines() if re.match(r"\| (system|jaccard)", line)]
    assert rows[0].startswith("| system")
    assert rows[0].count("*") == 12
    assert rows[1].count("*") == 0
    assert re.search(r"0\.600 \[0\.\d{3}, 0\.\d{3}\]\*", rows[0])


def test_a_narrow_terminal_shows_twenty_places_whole() -> None:
    output = io.StringIO()
    render(
        judge_lists(held_out(), np.arange(PAIRS), {"resource_allocation": lists_that_find(0.3, 50)}),
        Console(file=output, width=100, force_terminal=True, color_system=None),
    )
    assert "recall@20" in output.getvalue()
    assert "recall@50" not in output.getvalue()
    assert "…" not in output.getvalue()


def test_ratios_to_baselines_that_know_dates_stand_beside_that_to_resource_allocation() -> None:
    good, poor = lists_that_find(0.6), lists_that_find(0.3)
    lists = {"system": good, "resource_allocation": poor, "popularity_of_late": poor}
    report = judge_lists(held_out(), np.arange(len(good)), lists)
    assert list(report.recency) == ["popularity_of_late"]
    assert report.recency["popularity_of_late"] == report.ratio == report.against["resource_allocation"]
    assert set(report.against) == {"resource_allocation", "popularity_of_late"}


def test_what_a_training_changed_is_said_and_kept(tmp_path: Path) -> None:
    after, before = judged(0.6, 0.4), judged(0.5, 0.4)
    gain = Difference(recall=Interval(value=0.1, low=0.05, high=0.15), ndcg=Interval(value=0.02, low=-0.01, high=0.05))
    retraining = Retraining(
        reason="the weights are 7.0 days old",
        warm={"encoder": True, "ranker": False},
        before=before.methods["system"][20],
        after=after.methods["system"][20],
        gain=gain,
    )
    report = after.model_copy(update={"retraining": retraining})
    report.write(tmp_path)
    assert Report.read(tmp_path).retraining == retraining
    output = io.StringIO()
    render(report, Console(file=output))
    assert "The training adds to the weights before: recall@20 0.100" in output.getvalue()
    assert "within chance" in output.getvalue()
