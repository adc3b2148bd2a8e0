"""Starts follow a Poisson process, viewers a Zipf distribution."""

import numpy as np
import pytest
from scipy.stats import kstest

from models.errors import UsageError
from service.loadtest.workload import KINDS, Kind, Mix, Zipf, plan_requests, poisson_starts


def test_gaps_are_exponential_and_the_rate_is_kept() -> None:
    starts = poisson_starts(500, 40, np.random.default_rng(1))
    assert len(starts) == pytest.approx(20_000, rel=0.03)
    assert (np.diff(starts) > 0).all()
    assert 0 < starts[0] < starts[-1] < 40
    assert kstest(np.diff(starts) * 500, "expon").pvalue > 0.01


def test_processes_added_up_are_poisson_too() -> None:
    starts = np.sort(np.concatenate([poisson_starts(125, 40, np.random.default_rng([7, one])) for one in range(4)]))
    counts = np.bincount(starts.astype(int), minlength=40)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.6)
    assert kstest(np.diff(starts) * 500, "expon").pvalue > 0.01


def test_a_slow_rate_may_have_no_request_at_all() -> None:
    assert len(poisson_starts(0.1, 0.5, np.random.default_rng(0))) == 0


def test_the_kth_user_is_drawn_a_kth_as_often() -> None:
    drawn = Zipf(1000, 1.0, seed=5).draw(np.random.default_rng(2), 200_000)
    counts = np.sort(np.bincount(drawn, minlength=1000))[::-1]
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.1)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.15)


def test_the_seed_alone_decides_which_user_is_first() -> None:
    favourites = [
        np.bincount(Zipf(50, 1.5, seed=3).draw(np.random.default_rng(process), 5000)).argmax() for process in range(3)
    ]
    assert len(set(favourites)) == 1


def test_an_exponent_of_0_draws_uniformly() -> None:
    counts = np.bincount(Zipf(10, 0.0, seed=0).draw(np.random.default_rng(3), 50_000), minlength=10)
    assert counts.min() > 4700


def test_a_plan_follows_the_mix() -> None:
    mix = Mix.parse("cached=3, no-cache=1")
    plan = plan_requests(1000, 10, mix, Zipf(10, 1.0, 0), np.random.default_rng(0))
    shares = np.bincount(plan.kinds, minlength=len(KINDS)) / len(plan)
    assert shares[KINDS.index(Kind.CACHED)] == pytest.approx(0.75, abs=0.03)
    assert shares[KINDS.index(Kind.COLD)] == shares[KINDS.index(Kind.EVENT)] == 0
    assert len(plan.users) == len(plan.starts_s) == len(plan)


@pytest.mark.parametrize(
    "text", ["", "cached", "warm=1", "cached=x", "cached=-1", "cached=0", "cold=1,cold=2", "cold=inf"]
)
def test_an_invalid_mix_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--mix"):
        Mix.parse(text)
