"""The search for the highest rate, on services of known highest rate."""

import pytest

from service.loadtest.slo import Held, search_highest_rate


def service(capacity: float, harness: float = float("inf")) -> tuple[list[float], object]:
    tried: list[float] = []

    def measure(rate: float) -> Held:
        tried.append(rate)
        if rate > harness:
            return Held.UNKNOWN
        return Held.YES if rate <= capacity else Held.NO

    return tried, measure


@pytest.mark.parametrize("capacity", [1.0, 3.0, 99.0, 100.0, 101.0, 12_345.0])
@pytest.mark.parametrize("precision", [0.02, 0.1])
def test_it_comes_as_close_as_asked_from_either_side(capacity: float, precision: float) -> None:
    tried, measure = service(capacity)
    found = search_highest_rate(measure, 100.0, 1e6, precision)
    assert capacity / (1 + precision) <= found.rate <= capacity
    assert not found.bounded_by_harness
    assert len(tried) < 25


def test_no_rate_is_held() -> None:
    _, measure = service(0.0)
    assert search_highest_rate(measure, 100.0, 1e6, 0.05).rate == 0


def test_the_highest_allowed_rate_ends_the_search() -> None:
    tried, measure = service(1e9)
    found = search_highest_rate(measure, 100.0, 1000.0, 0.05)
    assert (found.rate, found.reached_limit) == (1000.0, True)
    assert max(tried) == 1000.0


def test_a_bottleneck_of_the_harness_is_reported() -> None:
    _, measure = service(5000.0, harness=1000.0)
    found = search_highest_rate(measure, 100.0, 1e6, 0.05)
    assert found.bounded_by_harness
    assert found.rate == pytest.approx(1000, rel=0.05)


def test_a_service_that_fails_below_the_harness_has_failed() -> None:
    _, measure = service(900.0, harness=1500.0)
    found = search_highest_rate(measure, 100.0, 1e6, 0.05)
    assert not found.bounded_by_harness
    assert found.rate == pytest.approx(900, rel=0.05)
