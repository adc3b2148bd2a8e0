"""Sizes of arms, corrections for many metrics, and groups of people."""

import numpy as np
import pytest

from offline.experiments.significance import MISMATCH, by_group, holm, sample_ratio


def test_a_split_of_52_to_48_among_10000_viewers_is_flagged() -> None:
    assert sample_ratio([5200, 4800], [0.5, 0.5]) < MISMATCH
    assert sample_ratio([5050, 4950], [0.5, 0.5]) > MISMATCH


def test_shares_need_not_be_even_nor_complete() -> None:
    assert sample_ratio([900, 100], [0.45, 0.05]) == 1.0
    assert sample_ratio([5000, 5000], [0.45, 0.05]) < MISMATCH
    assert sample_ratio([0, 0], [0.5, 0.5]) == 1.0


def test_equal_shares_are_seldom_flagged() -> None:
    sizes = np.random.default_rng(0).binomial(10_000, 0.5, size=2000)
    flagged = np.mean([sample_ratio([size, 10_000 - size], [0.5, 0.5]) < MISMATCH for size in sizes])
    assert flagged <= 0.003


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.zeros(0))) == 0


def test_groups_of_unequal_rates_are_told_apart() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat([0, 1], 300)
    shown = random.poisson(20, 600).astype(float)
    accepted = random.binomial(shown.astype(int), np.where(groups, 0.2, 0.1)).astype(float)
    found = by_group(groups, accepted, shown)
    assert found.rates == pytest.approx([0.1, 0.2], abs=0.02)
    assert found.p == pytest.approx(0.001)


def test_groups_of_one_rate_are_told_apart_as_often_as_the_level_says() -> None:
    """Heavy-tailed numbers, of which a test for normal ones would make more of."""
    random = np.random.default_rng(2)
    p_values = []
    for seed in range(300):
        shown = np.ceil(random.pareto(1.2, size=150)) + 1
        p_values.append(by_group(random.integers(3, size=150), shown, np.ones(150), 99, seed).p)
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_a_single_group_and_nobody_do_not_differ() -> None:
    assert by_group(np.zeros(5, np.int64), np.ones(5), np.ones(5)).p == 1
    assert by_group(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)).p == 1
    found = by_group(np.array([0, 1]), np.zeros(2), np.array([1.0, 0.0]))
    assert np.isnan(found.rates[1])
