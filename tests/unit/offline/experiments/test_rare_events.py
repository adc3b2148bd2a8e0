"""Experiments in which events are rare or one side is small: few false alarms, and no figure for a rate of nothing."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from models.arrays import Float64s
from offline.experiments.candidate_side import candidate_side
from offline.experiments.differences import difference
from offline.experiments.metric import Metric, corrected, metric, rate_metric
from offline.experiments.randomisation import are_few, randomised
from offline.experiments.viewer_side import Period, viewer_side
from tests.support.experiments.arms import two_arms
from tests.support.experiments.flooding import START

TESTS = 100
MOST = 5
"""5% of TESTS"""


def rows_of(random: np.random.Generator, ids: list[str], column: str, rate: float) -> pl.DataFrame:
    """Outcomes of five places each; a place is invited at `rate` / 5, half accept, a sixth decline."""
    n = 5 * len(ids)
    invited = random.random(n) < rate / 5
    answer = random.random(n)
    rows = {
        column: np.repeat(np.array(ids), 5),
        "at": [START + timedelta(hours=12)] * n,
        "clicked": invited,
        "invited": invited,
        "accepted": invited & (answer < 0.5),
        "declined": invited & (answer > 5 / 6),
        **dict.fromkeys(("dismissed", "blocked", "reported"), random.random(n) < rate / 50),
    }
    return pl.DataFrame(rows)


def says_something(metrics: list[Metric]) -> bool:
    (side,) = corrected([metrics])
    return any(one.is_gain or one.is_loss for one in side)


@pytest.mark.parametrize(("people", "holdout", "rate"), [(600, 0.1, 0.06)])
def test_a_a_tests_with_few_invitations_seldom_say_something_of_the_people_suggested(
    people: int, holdout: float, rate: float
) -> None:
    random, ids = np.random.default_rng(1), [f"p{at}" for at in range(people)]
    alarms = 0
    for test in range(TESTS):
        experiment = two_arms(holdout=holdout, salt=f"s{test}", fatigue_limit=3)
        ran = rows_of(random, ids, "candidate", rate).with_columns(arm=pl.lit("treatment"))
        side = candidate_side(experiment, "treatment", ran, ran.clear(), ids)
        assert side is not None
        alarms += says_something(side.metrics)
    assert alarms <= MOST


@pytest.mark.parametrize(("viewers", "rate"), [(400, 0.05)])
def test_a_a_tests_with_few_events_seldom_say_something_of_the_viewers(viewers: int, rate: float) -> None:
    random, ids = np.random.default_rng(2), [f"v{at}" for at in range(viewers)]
    period = Period(START, START + timedelta(days=1))
    alarms = 0
    for _ in range(TESTS):
        arms = np.where(random.random(viewers) < 0.1, "treatment", "control")
        assigned = pl.DataFrame({"viewer": ids, "arm": arms})
        ran = rows_of(random, ids, "viewer", rate)
        found = viewer_side(assigned, "treatment", ran, ran.clear(), period)
        alarms += says_something(found)
        alarms += any((one.always_low or 0) > 0 or (one.always_high or 0) < 0 for one in found)
    assert alarms <= MOST


def groups(
    n: int, control: tuple[int, int], treatment: tuple[int, int]
) -> tuple[Float64s, Float64s, NDArray[np.bool_]]:
    """Accepted and invited of two groups of n people, of whom so many were invited and so many of them accepted."""
    invited, accepted = np.zeros(2 * n), np.zeros(2 * n)
    for start, (asked, came) in ((0, control), (n, treatment)):
        invited[start : start + asked] = 1
        accepted[start : start + came] = 1
    return accepted, invited, np.arange(2 * n) >= n


def test_a_rate_of_nothing_is_no_figure() -> None:
    accepted, invited, treated = groups(300, (0, 0), (30, 12))
    found = rate_metric("accepted_per_invited", 1, accepted, invited, np.zeros(600), treated)
    assert (found.control, found.treatment) == (None, 0.4)
    assert found.difference is found.low is found.high is found.relative is None
    assert found.p == 1
    assert not found.is_gain
    assert found.few_events


def test_two_acceptances_of_two_against_none_of_three_prove_nothing() -> None:
    accepted, invited, treated = groups(300, (3, 0), (2, 2))
    found = rate_metric("accepted_per_invited", 1, accepted, invited, np.zeros(600), treated)
    assert found.difference == 1
    assert 0.05 < found.p < 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0 < found.high


def test_a_large_effect_on_few_events_is_found() -> None:
    accepted, invited, treated = groups(300, (30, 3), (30, 20))
    found = rate_metric("accepted_per_invited", 1, accepted, invited, np.zeros(600), treated)
    assert found.few_events
    assert found.p < 0.001
    assert found.low is not None
    assert found.low > 0


def test_groups_drawn_anew_give_the_p_value_of_fishers_exact_test() -> None:
    """12 of 100 against 3 of 200."""
    outcomes, treated = np.zeros(300), np.arange(300) < 100
    outcomes[:12] = outcomes[100:103] = 1
    found = randomised(outcomes, np.ones(300), treated)
    tail = float(stats.hypergeom.sf(11, 300, 15, 100))
    assert found.p == pytest.approx(2 * tail, abs=0.0008)
    assert found.low > 0


def test_welchs_test_is_used_where_it_holds() -> None:
    random, treated = np.random.default_rng(0), np.arange(4000) % 2 == 0
    often, seldom = random.poisson(1.0, 4000).astype(float), random.poisson(0.01, 4000).astype(float)
    assert not are_few(often, treated)
    assert are_few(seldom, treated)
    assert are_few(often[:60], treated[:60]), "fewer than 50 units a group"
    assert are_few(treated.astype(float), treated), "no variance within the groups"
    assert not are_few(np.ones(4000), treated), "nothing to tell apart"
    found = metric("often", 1, often, np.zeros(4000), treated)
    assert found.p == difference(often, treated).p
    assert not found.few_events
    same = metric("same", 1, np.ones(4000), np.zeros(4000), treated)
    assert (same.difference, same.p, same.low) == (0, 1, None)


def test_the_units_of_a_group_are_drawn_whole() -> None:
    """All 40 events are one viewer's: that she is in one group says nothing."""
    outcomes, treated = np.zeros(400), np.arange(400) < 200
    outcomes[0] = 40
    assert randomised(outcomes, np.ones(400), treated).p > 0.9


def test_a_heavy_tail_with_many_events_keeps_what_the_time_before_explains() -> None:
    """People are shown as often as before, a few of them a thousand times as often as most; 2% more with the arm."""
    random = np.random.default_rng(1)
    treated, often = random.random(20_000) >= 0.1, np.exp(random.normal(2, 1.5, 20_000))
    before = random.poisson(often).astype(float)
    now = random.poisson(often * np.where(treated, 1.05, 1.0)).astype(float)
    assert are_few(now, treated), "too skewed for Welch's test as they are"
    found = metric("shown", 0, now, before, treated)
    assert found.variance_removed > 0.9
    assert found.control == pytest.approx(now[~treated].mean())
    assert found.p < 0.01
    assert found.low is not None
    assert found.low > 0
    nothing = metric("shown", 0, random.poisson(often).astype(float), before, treated)
    assert nothing.p > 0.01


def test_groups_that_hardly_ever_have_something_to_count_by_say_nothing() -> None:
    treated, denominator = np.arange(20_000) < 3, np.zeros(20_000)
    denominator[[0, 10]] = 1
    found = randomised(np.zeros(20_000), denominator, treated)
    assert (found.p, found.low, found.high) == (1.0, None, None)
