"""Differences between arms, beside what tea-tasting 1.14 computes of the same numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.arrays import Float64s
from offline.experiments.differences import cuped, difference, per_event


@pytest.fixture(scope="module")
def numbers() -> tuple[Float64s, Float64s, Float64s, NDArray[np.bool_]]:
    """Outcomes, the past, events and who is treated, of 400 viewers."""
    random, n = np.random.default_rng(7), 400
    before = random.poisson(3, n).astype(float)
    treated = random.random(n) < 0.5
    outcomes = random.poisson(1 + 0.5 * before + 0.3 * treated).astype(float)
    return outcomes, before, outcomes + random.poisson(2, n) + 1, treated


def test_means_are_compared_as_tea_tasting_does(
    numbers: tuple[Float64s, Float64s, Float64s, NDArray[np.bool_]],
) -> None:
    outcomes, _, _, treated = numbers
    found = difference(outcomes, treated)
    assert found.value == pytest.approx(0.33375037533780416)
    assert found.value - found.half_width() == pytest.approx(-0.031646350197699624)
    assert found.value + found.half_width() == pytest.approx(0.6991471008733079)
    assert found.p == pytest.approx(0.07330433865711299)


def test_rates_are_compared_as_tea_tasting_does(
    numbers: tuple[Float64s, Float64s, Float64s, NDArray[np.bool_]],
) -> None:
    outcomes, _, events, treated = numbers
    found = difference(per_event(outcomes, events, treated), treated)
    assert found.value == pytest.approx(0.006438006438006516)
    assert found.control == pytest.approx(outcomes[~treated].sum() / events[~treated].sum())
    assert found.value - found.half_width() == pytest.approx(-0.03473143989039958)
    assert found.p == pytest.approx(0.7586737637857771)


def test_the_past_explains_what_it_explains(numbers: tuple[Float64s, Float64s, Float64s, NDArray[np.bool_]]) -> None:
    """tea-tasting takes the slope over both arms together, 0.2378 with a p-value of 0.160."""
    outcomes, before, _, treated = numbers
    adjusted = cuped(outcomes, before, treated)
    found = difference(adjusted.outcomes, treated)
    assert found.value == pytest.approx(0.2378, abs=0.002)
    assert found.p == pytest.approx(0.160, abs=0.003)
    correlation = np.corrcoef(outcomes, before)[0, 1]
    assert adjusted.reduction == pytest.approx(correlation**2, abs=0.01)


def test_a_past_that_says_nothing_changes_nothing() -> None:
    outcomes, treated = np.arange(10.0), np.arange(10) % 2 == 0
    assert cuped(outcomes, np.zeros(10), treated).reduction == 0
    assert (cuped(outcomes, np.full(10, 3.0), treated).outcomes == outcomes).all()
    assert cuped(np.ones(10), outcomes, treated).reduction == 0


def test_an_effect_of_the_treatment_is_not_taken_for_the_past() -> None:
    random = np.random.default_rng(3)
    before, treated = random.normal(size=4000), np.arange(4000) % 2 == 0
    outcomes = before + 5.0 * treated
    found = difference(cuped(outcomes, before, treated).outcomes, treated)
    assert found.value == pytest.approx(5.0, abs=1e-9)


def test_arms_without_variance_or_units() -> None:
    treated = np.array([True, True, False, False])
    assert difference(np.ones(4), treated).p == 1
    assert difference(treated.astype(float), treated).p == 1, "two units each, and no variance to judge by"
    with pytest.raises(ValueError, match="nothing to count by"):
        per_event(np.ones(4), treated.astype(float), treated)
    with pytest.raises(ValueError, match="fewer than 2"):
        difference(np.ones(3), np.array([True, False, False]))
