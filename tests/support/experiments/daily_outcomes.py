"""Viewers who act more or less often, day by day, in two arms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s


class Month(NamedTuple):
    """What n viewers did on each of d days."""

    outcomes: Float64s
    """(n, d)"""
    arrived: NDArray[np.int64]
    """(n,)"""
    treated: NDArray[np.bool_]
    """(n,)"""
    before: Float64s
    """(n,) in the d days before"""


def month(seed: int, viewers: int = 2000, days: int = 30, lift: float = 1.0) -> Month:
    """Poisson outcomes at a rate that differs by viewer (Gamma, shape 1); a third of the viewers come later."""
    random = np.random.default_rng(seed)
    rate = random.exponential(0.15, size=viewers)
    arrived = np.where(random.random(viewers) < 1 / 3, random.integers(days, size=viewers), 0)
    treated = random.random(viewers) < 0.5
    there = np.arange(days)[None, :] >= arrived[:, None]
    rates = (rate * np.where(treated, lift, 1.0))[:, None] * there
    return Month(
        random.poisson(rates).astype(np.float64), arrived, treated, random.poisson(days * rate).astype(np.float64)
    )
