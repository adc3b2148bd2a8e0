"""Durations: quantiles to 1 µs or 0.1%, whichever process counted them."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.loadtest.counters import HIGHEST_US, Durations, merged

durations = st.lists(st.floats(1e-6, HIGHEST_US / 1e6 * 0.99), min_size=1, max_size=200)


def of(seconds: list[float]) -> Durations:
    one = Durations()
    for duration in seconds:
        one.add(duration)
    return one


@given(durations, st.floats(0, 1))
def test_a_quantile_is_within_a_thousandth_or_a_microsecond_of_the_exact_one(
    seconds: list[float], share: float
) -> None:
    rank = min(max(int(share * len(seconds) + 0.5), 1), len(seconds))  # HdrHistogram rounds ranks
    neighbours = sorted(seconds)[max(rank - 2, 0) : rank + 1]  # a rank of exactly one half is a matter of rounding
    found = of(seconds).quantile(share)
    assert any(found == pytest.approx(exact, rel=0.001, abs=1e-6) for exact in neighbours)


@given(durations, durations)
def test_two_added_up_are_one_of_both(first: list[float], second: list[float]) -> None:
    both, one = merged([of(first), of(second)]), of(first + second)
    assert both.buckets() == one.buckets()
    assert both.mean_s == pytest.approx(one.mean_s)


def test_the_count_and_the_mean_are_exact() -> None:
    one = of([0.001] * 999 + [0.123456])
    assert len(one) == sum(count for _, count in one.buckets()) == 1000
    assert one.quantile(1.0) == pytest.approx(0.123456, rel=0.001)
    assert one.quantile(0.999) == 0.001
    assert one.mean_s == pytest.approx((0.999 + 0.123456) / 1000)


def test_durations_outside_the_range_are_counted_at_its_ends() -> None:
    one = of([0.0, 1e-9, 5000.0])
    assert len(one) == 3
    assert one.quantile(0.0) == 0
    assert one.quantile(1.0) == pytest.approx(3600, rel=0.001)


def test_no_durations_have_no_quantile() -> None:
    assert math.isnan(Durations().quantile(0.5))
    assert Durations().buckets() == []
    assert Durations().mean_s == 0


def test_they_travel_between_processes() -> None:
    one = of(np.linspace(0.001, 1, 1000).tolist())
    there = pickle.loads(pickle.dumps(one))  # noqa: S301  # our own
    assert there.buckets() == one.buckets()
    assert merged([there, there]).quantile(0.9) == one.quantile(0.9)
    assert len(pickle.loads(pickle.dumps(Durations()))) == 0  # noqa: S301  # our own
