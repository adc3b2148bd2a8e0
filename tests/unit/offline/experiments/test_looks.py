"""False positives and power of one look at the end, and of a look on every day."""

import sys

import numpy as np
import pytest

from offline.experiments.differences import cuped, difference
from offline.experiments.looks import LEAST_UNITS, always_valid, daily_differences
from tests.support.experiments.daily_outcomes import month


def test_the_last_look_is_the_difference_of_the_sums() -> None:
    drawn = month(0)
    total = drawn.outcomes.sum(axis=1)
    plain = difference(total, drawn.treated)
    looks = daily_differences(drawn.outcomes, drawn.arrived, drawn.treated)
    assert looks.values[-1] == pytest.approx(plain.value)
    assert looks.errors[-1] == pytest.approx(plain.error, rel=1e-6)
    adjusted = difference(cuped(total, drawn.before, drawn.treated).outcomes, drawn.treated)
    looks = daily_differences(drawn.outcomes, drawn.arrived, drawn.treated, drawn.before)
    assert looks.values[-1] == pytest.approx(adjusted.value)
    assert looks.errors[-1] == pytest.approx(adjusted.error, rel=1e-6)


def test_days_with_too_few_units_do_not_count() -> None:
    drawn = month(1, viewers=600)
    arrived = np.where(np.arange(600) < 2 * LEAST_UNITS - 1, 0, 9)
    looks = daily_differences(drawn.outcomes, arrived, drawn.treated)
    assert np.isnan(looks.values[:9]).all()
    assert np.isinf(always_valid(looks.errors)[:9]).all()
    assert np.isfinite(always_valid(looks.errors)[9:]).all()
    assert np.isinf(always_valid(np.full(3, np.inf))).all()


def test_the_daily_interval_is_wider_than_that_of_one_look_and_narrowest_where_it_is_tuned() -> None:
    errors = np.sqrt(np.arange(1, 101))  # of sums over days that have nothing to do with each other
    widths = always_valid(errors) / errors
    assert (widths > 2.5).all()
    assert widths[13] < 3.1
    assert widths[0] > widths[13] < widths[99]


def false_positives(tests: int, seed: int) -> tuple[float, float, float, float]:
    """Share of A/A tests that one look at the end calls different, that a look a day does, both with CUPED, and its
    mean reduction of variance."""
    counts, reduction = np.zeros(3), 0.0
    for test in range(tests):
        drawn = month(seed + test)
        total = drawn.outcomes.sum(axis=1)
        adjusted = cuped(total, drawn.before, drawn.treated)
        reduction += adjusted.reduction / tests
        at_the_end = difference(adjusted.outcomes, drawn.treated)
        for at, before in enumerate((None, drawn.before)):
            looks = daily_differences(drawn.outcomes, drawn.arrived, drawn.treated, before)
            counts[1 + at] += (np.abs(looks.values) > always_valid(looks.errors)).any()
        counts[0] += at_the_end.p < 0.05
    return (*(counts / tests), reduction)


@pytest.mark.slow
def test_a_thousand_a_a_tests() -> None:
    fixed, daily, daily_cuped, reduction = false_positives(1000, seed=0)
    figures = f"fixed {fixed:.3f}, daily {daily:.3f}, daily with CUPED {daily_cuped:.3f}, variance -{reduction:.0%}"
    sys.stdout.write(f"{figures}\n")
    assert 0.04 <= fixed <= 0.06
    assert daily <= 0.05
    assert daily_cuped <= 0.05
    assert reduction > 0.3


def test_a_hundred_a_a_tests_raise_few_false_positives() -> None:
    fixed, daily, daily_cuped, _ = false_positives(100, seed=10_000)
    assert fixed <= 0.11
    assert max(daily, daily_cuped) <= 0.05


def test_a_real_effect_is_found_and_one_look_a_day_without_correction_is_not_enough() -> None:
    naive = found = 0
    for seed in range(40):
        drawn = month(seed, lift=1.25)
        looks = daily_differences(drawn.outcomes, drawn.arrived, drawn.treated, drawn.before)
        found += bool((looks.values > always_valid(looks.errors)).any())
        same = month(20_000 + seed)
        looks = daily_differences(same.outcomes, same.arrived, same.treated)
        naive += bool((np.abs(looks.values) > 1.96 * looks.errors).any())
    assert found >= 30
    assert naive >= 6
