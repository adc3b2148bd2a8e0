"""The difference between two arms on every day of an experiment, with intervals that may be read every day."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from models.experiments.always_valid import mixture_widths, rate_of
from offline.experiments.differences import LEVEL

NARROWEST = 14.0
"""information, in units of the first look's, at which the always-valid interval is tuned to be narrowest"""
LEAST_UNITS = 50
"""units of each arm from which a look counts: before, a standard error is itself too uncertain"""


class Looks(NamedTuple):
    """Treatment minus control at the end of each of d days."""

    values: Float64s
    """(d,) NaN before the first look that counts"""
    errors: Float64s
    """(d,) standard errors; infinite before the first look that counts"""


def daily_differences(
    outcomes: Float64s, arrived: NDArray[np.integer], treated: NDArray[np.bool_], before: Float64s | None = None
) -> Looks:
    """The differences of the means of what (n,) units summed up to by the end of each day.

    `outcomes` (n, d) are the sums of each day, `arrived` (n,) the day from 0 on which a unit is counted first. With
    `before` (n,), what the same units did before, each difference is CUPED's (offline.experiments.differences.cuped).
    """
    n, days = outcomes.shape
    here = (arrived[:, None] <= np.arange(days)[None, :]).astype(np.float64)
    total = np.cumsum(outcomes, axis=1) * here
    past = np.zeros((n, 1)) if before is None else before[:, None]
    arms = np.stack([~treated, treated]).astype(np.float64)
    # moments of each arm on each day, (2, d)
    units = arms @ here
    known = (units >= LEAST_UNITS).all(axis=0)
    least = np.maximum(units, 2)
    y, x = arms @ total / least, arms @ (past * here) / least
    yy = arms @ total**2 / least - y**2
    xx = arms @ (past**2 * here) / least - x**2
    xy = arms @ (past * total) / least - x * y
    # the slope within the arms, and what is left of the variance
    squares = (xx * units).sum(axis=0)
    slope = np.divide((xy * units).sum(axis=0), squares, out=np.zeros(days), where=squares > 1e-12)
    left = np.maximum(yy - 2 * slope * xy + slope**2 * xx, 0) / np.maximum(least - 1, 1)
    errors = np.sqrt(left.sum(axis=0))
    values = (y[1] - y[0]) - slope * (x[1] - x[0])
    known &= errors > 0
    return Looks(np.where(known, values, np.nan), np.where(known, errors, np.inf))


def always_valid(errors: Float64s, level: float = LEVEL, narrowest: float = NARROWEST) -> Float64s:
    """(d,) half widths of intervals that all hold at once with probability `level`, one for each of d days.

    `errors` (d,) are the standard errors of sums up to the end of each day. A sum over more days varies more, so
    information is counted of the means per day, I = (days / error)**2, whose differences have the covariances of a
    Brownian motion at the times I (Jennison, Turnbull 1997). The first day with an error fixes the scale: the widths
    are those of models.experiments.always_valid, narrowest at `narrowest` times its information. Where errors are
    infinite so are the widths.
    """
    alpha = 1 - level
    information = np.square(np.arange(1, len(errors) + 1) / errors)
    known = np.flatnonzero(information > 0)
    widths = np.full(len(errors), np.inf)
    if not len(known):
        return widths
    rate = rate_of(narrowest * information[known[0]], alpha)
    widths[known] = mixture_widths(errors[known], information[known], rate, alpha)
    return widths
