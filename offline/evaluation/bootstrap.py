"""Confidence intervals of means over users: the percentile bootstrap (Efron, Tibshirani 1993), paired by user."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s

RESAMPLES = 1000
LEVEL = 0.95
_DRAWS_AT_ONCE = 1 << 21


class Interval(BaseModel):
    """A figure and its confidence interval at LEVEL."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def resampled_means(values: Float64s, resamples: int = RESAMPLES, seed: int = 0) -> Float64s:
    """Means (resamples, c) of (U, c) figures over users drawn with replacement; every column uses the same draws.

    Raises ValueError if there is no user.
    """
    users = len(values)
    if not users:
        raise ValueError("a mean over no users has no interval")
    random = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    chunk = max(_DRAWS_AT_ONCE // users, 1)
    for start in range(0, resamples, chunk):
        drawn = random.integers(users, size=(min(chunk, resamples - start), users))
        cells = drawn + np.arange(len(drawn))[:, None] * users
        times = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
        means[start : start + len(drawn)] = times @ values / users
    return means


def interval(value: float, resampled: Float64s, units: float | None = None) -> Interval:
    """The figure with the middle LEVEL of its resampled figures (resamples,).

    With `units`, of how many independent units it is, more than that if they are few: the quantiles are those of
    Student's t (the expanded percentile interval; Hesterberg 2015).
    """
    tail = (1 - LEVEL) / 2
    if units is not None:
        from scipy import stats

        freedom = max(units, 2.0) - 1
        tail = float(stats.norm.cdf(stats.t.ppf(tail, freedom) * np.sqrt(1 + 1 / freedom)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def ratio_interval(value: float, base: float, values: Float64s, bases: Float64s) -> Interval | None:
    """Ratio of two means with its interval from paired resamples, (resamples,) each; None if the base is 0.

    Resamples with a base of 0 have no ratio and are skipped.
    """
    if base <= 0:
        return None
    defined = bases > 0
    return interval(value / base, values[defined] / bases[defined])
