"""Quantiles to half a percent, whoever counted."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.loadtest.histogram import (
    HIGHEST_S,
    LOWEST_S,
    Histogram,
    merged,
)

ERROR = 0.005
durations = st.lists(st.floats(LOWEST_S, HIGHEST_S * 0.99), min_size=1, max_size=200)


def of(seconds: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.record(seconds)
    return histogram


@given(durations, st.floats(0, 1))
def test_a_quantile_is_within_half_a_percent_of_the_exact_one(seconds: list[float], share: float) -> None:
    rank = min(max(math.ceil(share * len(seconds)), 1), len(seconds))
    exact = sorted(seconds)[rank - 1]
    assert of(seconds).quantile(share) == pytest.approx(exact, rel=ERROR)


@given(durations, durations)
def test_two_added_up_are_one_of_both(first: list[float], second: list[float]) -> None:
    both, one = merged([of(first), of(second)]), of(first + second)
    assert both.counts.tolist() == one.counts.tolist()
    assert (both.lowest_s, both.highest_s) == (one.lowest_s, one.highest_s)
    assert both.mean_s == pytest.approx(one.mean_s)


def test_the_maximum_is_exact_and_counts_are_kept() -> None:
    histogram = of([0.001] * 999 + [0.123456])
    assert len(histogram) == 1000
    assert histogram.quantile(1.0) == 0.123456
    assert histogram.quantile(0.999) == pytest.approx(0.001, rel=ERROR)
    assert sum(count for _, count in histogram.filled()) == 1000


def test_what_lies_outside_is_counted_at_the_edges() -> None:
    histogram = of([0.0, 1e-9, 5000.0])
    assert len(histogram) == 3
    assert (histogram.lowest_s, histogram.highest_s) == (0.0, 5000.0)


def test_nothing_has_no_quantile() -> None:
    assert math.isnan(Histogram().quantile(0.5))
    assert Histogram().filled() == []


def test_it_travels_between_processes() -> None:
    histogram = of(np.linspace(0.001, 1, 1000).tolist())
    there = pickle.loads(pickle.dumps(histogram))  # noqa: S301  # our own
    assert there.quantile(0.9) == histogram.quantile(0.9)
