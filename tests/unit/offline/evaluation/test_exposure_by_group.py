"""Groups of people: who is told apart, and how often by mistake."""

import numpy as np
import pytest

from offline.evaluation.exposure import Column, by_group, group_report


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


def test_a_report_names_each_group_the_largest_first() -> None:
    codes = np.array([0, 1, 1, 1, -1])
    shown, accepted = np.array([4.0, 1, 1, 1, 9]), np.array([2.0, 0, 0, 0, 9])
    found = group_report(Column("team", ["red", "blue"], codes), shown, accepted, shown)
    assert found is not None
    assert [(row.value, row.people, row.shown, row.accepted) for row in found.rows] == [
        ("blue", 3, 1.0, 0.0),
        ("red", 1, 4.0, 0.5),
    ]
    nobody = np.zeros(5)
    assert group_report(Column("team", ["red"], np.minimum(codes, 0)), shown, accepted, shown) is None
    empty = group_report(Column("team", ["red", "blue"], codes), nobody, nobody, nobody)
    assert empty is not None
    assert empty.rows[0].accepted is None
