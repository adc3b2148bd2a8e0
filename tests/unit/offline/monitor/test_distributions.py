"""Distances of distributions against SciPy, and how often chance alone exceeds the thresholds."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from offline.monitor.distributions import (
    ALMOST_NEVER,
    SELDOM,
    bins_of_quantiles,
    bins_of_values,
    ks,
    ks_by_chance,
    psi,
    psi_by_chance,
)
from offline.monitor.reference import quantiles_of


def test_psi_is_the_symmetric_divergence() -> None:
    assert psi([50, 50], [50, 50]) == 0
    assert psi([50, 50], [5, 5]) == pytest.approx(0)
    assert psi([50, 50], [75, 25]) == pytest.approx(0.25 * np.log(1.5) - 0.25 * np.log(0.5))
    assert psi([75, 25], [50, 50]) == pytest.approx(psi([50, 50], [75, 25]))
    assert np.isfinite(psi([100, 0], [0, 100]))


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_ks_of_quantiles_is_that_of_the_samples(shift: float) -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(size=4000), random.normal(shift, size=3000)
    assert ks(quantiles_of(one), quantiles_of(other)) == pytest.approx(ks_2samp(one, other).statistic, abs=0.006)


def test_ks_of_whole_numbers_and_of_nothing() -> None:
    ages = np.repeat([20, 30, 40], 100)
    assert ks(quantiles_of(ages), quantiles_of(ages)) == 0
    assert ks(quantiles_of(ages), quantiles_of(ages + 100)) == 1
    assert ks([], quantiles_of(ages)) == 0
    assert quantiles_of(np.full(5, np.nan)) == []


@pytest.mark.parametrize("people", [60, 600])
def test_chance_exceeds_the_thresholds_as_seldom_as_they_say(people: int) -> None:
    random, draws = np.random.default_rng(2), 2000
    samples = random.multinomial(people, [0.4, 0.3, 0.2, 0.1], size=2 * draws)
    found = np.array([psi(one, other) for one, other in zip(samples[:draws], samples[draws:], strict=True)])
    assert (found > psi_by_chance(4, people, people, 0.05)).mean() < 0.08
    assert (found > psi_by_chance(4, people, people, SELDOM)).mean() < 0.005
    values = random.random((draws, 2, people))
    distances = np.array([ks_2samp(one, other).statistic for one, other in values])
    assert (distances > ks_by_chance(people, people, SELDOM)).mean() < 0.004
    assert (distances > ks_by_chance(people, people, ALMOST_NEVER)).mean() < 0.002


def test_rare_values_share_a_bin_and_quantiles_are_cut_at_the_deciles() -> None:
    then = {f"v{number:02}": 100 - number for number in range(40)}
    names, one, other = bins_of_values(then, {"v00": 5, "v39": 7, "x": 3})
    assert names[-1] == "all others"
    assert len(names) == len(one) == len(other) == 21
    assert other[0] == 5
    assert other[-1] == 10
    assert one.sum() == sum(then.values())
    values = quantiles_of(np.arange(1000))
    before, after = bins_of_quantiles(values, values, 1000, 2000)
    np.testing.assert_allclose(before, 100, atol=3)
    np.testing.assert_allclose(after, 2 * before)
