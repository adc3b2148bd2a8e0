"""What the gate says of lists, probabilities and exposure."""

from typing import Any

import pytest

from models.errors import GateRefusedError
from offline.evaluation.bootstrap import Interval
from offline.evaluation.exposure import Exposure
from offline.evaluation.gate_check import GateCheck
from offline.evaluation.report import SYSTEM, Promised, Ratio, Report
from offline.gate.config import GateConfig
from offline.gate.decision import decide, refusals
from offline.gate.quality import quality_checks

CONFIG = GateConfig()
USERS = 500


def ratio_of(value: float, spread: float = 0.05) -> Ratio:
    one = Interval(value=value, low=value - spread, high=value + spread)
    return Ratio(recall=one, ndcg=one)


def report_of(allocation: Ratio, users: int = USERS, **others: Any) -> Report:
    """A report in which resource allocation is beaten so, and other baselines as `others` says."""
    against = {"resource_allocation": allocation, **others.pop("against", {})}
    return Report(users=users, held_out=users, methods={}, ratio=allocation, against=against, **others)


def refused(report: Report, active: Report | None = None, config: GateConfig = CONFIG) -> set[str]:
    return {check.name for check in refusals(quality_checks(report, active, config))}


@pytest.mark.parametrize(
    ("now", "before"), [(1.2, None), (0.96, None), (1.2, 1.1), (1.11, 1.2), (1.0, 1.0), (1.3, 1.2)]
)
def test_a_version_that_is_not_clearly_worse_passes(now: float, before: float | None) -> None:
    assert not refused(report_of(ratio_of(now)), None if before is None else report_of(ratio_of(before)))


@pytest.mark.parametrize("baseline", ["resource_allocation", "jaccard", "personalised_pagerank", "popularity_of_late"])
def test_a_version_clearly_below_any_baseline_is_refused_under_its_name(baseline: str) -> None:
    report = report_of(ratio_of(1.2), against={baseline: ratio_of(0.8)})
    assert refused(report) == {f"recall@20_against_{baseline}", f"NDCG@20_against_{baseline}"}
    assert not refused(report_of(ratio_of(1.2), against={baseline: ratio_of(0.98)})), "not beyond chance"


def test_either_metric_is_enough_to_refuse() -> None:
    low, high = ratio_of(0.8).recall, ratio_of(1.2).recall
    assert refused(report_of(Ratio(recall=low, ndcg=high))) == {"recall@20_against_resource_allocation"}
    assert refused(report_of(Ratio(recall=high, ndcg=low))) == {"NDCG@20_against_resource_allocation"}


@pytest.mark.parametrize(("now", "before"), [(1.05, 1.2), (1.0, 1.15)])
def test_a_version_clearly_below_the_active_one_is_refused(now: float, before: float) -> None:
    found = refused(report_of(ratio_of(now)), report_of(ratio_of(before)))
    assert found == {"recall@20_against_active_version", "NDCG@20_against_active_version"}


def test_too_few_users_compare_no_lists_and_the_gate_says_so() -> None:
    (check,) = quality_checks(report_of(ratio_of(0.5), CONFIG.least_judged - 1), None, CONFIG)
    assert check.verdict == "skipped"
    assert "too few users" in check.sentence
    assert refused(report_of(ratio_of(0.5), CONFIG.least_judged))


@pytest.mark.parametrize(
    ("promised", "came", "passes"),
    [(100, 100, True), (30, 100, True), (390, 100, True), (10, 100, False), (800, 100, False), (5, 3, True)],
)
def test_probabilities_that_promise_far_more_or_less_than_comes_are_refused(
    promised: float, came: float, passes: bool
) -> None:
    found = Promised(pairs=10_000, promised=promised, came=came, weight=2.0)
    assert (refused(report_of(ratio_of(1.2), promised=found)) == set()) is passes


@pytest.mark.parametrize(("gini", "passes"), [(0.6, True), (0.7, True), (0.85, False)])
def test_lists_that_show_far_fewer_people_than_before_are_refused(gini: float, passes: bool) -> None:
    def shown(value: float) -> dict[str, Exposure]:
        return {SYSTEM: Exposure(coverage=0.5, gini=value, mean_degree=10)}

    before = report_of(ratio_of(1.2), exposure=shown(0.6))
    assert (refused(report_of(ratio_of(1.2), exposure=shown(gini)), before) == set()) is passes
    fewer = report_of(ratio_of(1.2), exposure=shown(0.6), users=USERS // 2)
    assert not refused(report_of(ratio_of(1.2), exposure=shown(gini)), fewer), "shown to fewer people: no comparison"


def test_every_refusal_is_named_and_says_how_to_publish_all_the_same() -> None:
    checks = [
        GateCheck.judged("one", refused=True, value=1, threshold=0, sentence="the first is bad"),
        GateCheck.judged("two", refused=False, value=0, threshold=0, sentence="the second is good"),
        GateCheck.judged("three", refused=True, value=1, threshold=0, sentence="the third is bad"),
    ]
    with pytest.raises(GateRefusedError) as raised:
        decide(checks, force=False)
    said = (
        "the quality gate refused to publish: the first is bad; the third is bad; publish it all the same with --force"
    )
    assert str(raised.value) == said
    assert raised.value.exit_status == 3
    assert decide(checks, force=True)
    assert not decide(checks[1:2], force=False)
