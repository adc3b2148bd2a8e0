"""Reports of evaluated lists, their intervals, the table, and the gate."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.errors import ArtefactError, GateRefusedError
from models.graph import Graph
from offline.evaluation.bootstrap import Interval, ratio_interval, resampled_means
from offline.evaluation.gate import LEAST_USERS, check
from offline.evaluation.rendering import render
from offline.evaluation.report import Ratio, Report, judge_lists

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
    assert "too few users" in check(report)
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
    assert "nothing to compare" in check(judged(0.5, 0.0))
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


def ratio_of(value: float, spread: float = 0.05) -> Ratio:
    one = Interval(value=value, low=value - spread, high=value + spread)
    return Ratio(recall=one, ndcg=one)


def report_of(ratio: Ratio, users: int = 500) -> Report:
    return Report(users=users, held_out=users, methods={}, ratio=ratio)


@pytest.mark.parametrize(
    ("ratio", "previous"),
    [(1.2, None), (0.96, None), (1.2, 1.1), (1.11, 1.2), (1.0, 1.0), (1.3, 1.2)],
)
def test_a_version_that_is_not_clearly_worse_passes(ratio: float, previous: float | None) -> None:
    said = check(report_of(ratio_of(ratio)), None if previous is None else ratio_of(previous))
    assert f"{ratio:.3f}" in said


@pytest.mark.parametrize(("ratio", "previous"), [(0.9, None), (0.9, 0.9), (1.05, 1.2), (1.0, 1.15)])
def test_a_version_clearly_below_one_or_its_predecessor_is_refused_with_figures(
    ratio: float, previous: float | None
) -> None:
    with pytest.raises(GateRefusedError, match=rf"{ratio:.3f} .*--force") as refused:
        check(report_of(ratio_of(ratio)), None if previous is None else ratio_of(previous))
    assert refused.value.exit_status == 3
    assert "500 users" in str(refused.value)


def test_either_metric_is_enough_to_refuse() -> None:
    low, high = ratio_of(0.8).recall, ratio_of(1.2).recall
    with pytest.raises(GateRefusedError, match=r"recall@20 is 0\.800"):
        check(report_of(Ratio(recall=low, ndcg=high)))
    with pytest.raises(GateRefusedError, match=r"NDCG@20 is 0\.800"):
        check(report_of(Ratio(recall=high, ndcg=low)))


def test_too_few_users_to_compare_pass_and_the_gate_says_so() -> None:
    assert "too few users" in check(report_of(ratio_of(0.5), LEAST_USERS - 1))
    with pytest.raises(GateRefusedError):
        check(report_of(ratio_of(0.5), LEAST_USERS))


def test_a_system_that_loses_to_resource_allocation_is_refused_from_lists_on() -> None:
    with pytest.raises(GateRefusedError, match="recall@20"):
        check(judged(0.2, 0.7))
    assert "recall@20 1.400" in check(judged(0.7, 0.5))


@pytest.mark.parametrize("metric", ["recall", "ndcg"])
def test_a_version_clearly_below_a_baseline_that_knows_dates_is_refused(metric: str) -> None:
    good, bad = ratio_of(1.2), ratio_of(0.8)
    lost = Ratio(**{"recall": good.recall, "ndcg": good.ndcg, metric: getattr(bad, metric)})
    fine = report_of(ratio_of(1.2)).model_copy(update={"recency": {"popularity_of_late": good}})
    check(fine)
    with pytest.raises(GateRefusedError, match=r"0\.800 .* popularity of late, .*--force"):
        check(fine.model_copy(update={"recency": {"popularity_of_late": lost}}))
    close = fine.model_copy(update={"recency": {"popularity_of_late": ratio_of(0.98)}})
    check(close)


def test_ratios_to_baselines_that_know_dates_stand_beside_that_to_resource_allocation() -> None:
    good, poor = lists_that_find(0.6), lists_that_find(0.3)
    lists = {"system": good, "resource_allocation": poor, "popularity_of_late": poor}
    report = judge_lists(held_out(), np.arange(len(good)), lists)
    assert list(report.recency) == ["popularity_of_late"]
    assert report.recency["popularity_of_late"] == report.ratio
