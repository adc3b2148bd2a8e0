"""The difference between two arms at one time: CUPED, rates as ratios of sums, and Welch's interval.

All functions take one number per unit (a viewer, or a person who was suggested) and know nothing of what it counts.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.arrays import Float64s

LEVEL = 0.95


class Difference(NamedTuple):
    """Treatment minus control."""

    value: float
    error: float
    """its standard error"""
    control: float
    """mean of the control"""
    treatment: float
    freedom: float
    """degrees of freedom (Welch 1947)"""

    @property
    def p(self) -> float:
        """Two-sided p-value; 1 if nothing varies within the groups, as nothing then says what chance would do."""
        if not self.error:
            return 1.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))

    def half_width(self, level: float = LEVEL) -> float:
        """Half of the fixed-horizon interval: valid for one look, at a time chosen beforehand."""
        return float(self.error * stats.t.ppf((1 + level) / 2, self.freedom))


class Adjusted(NamedTuple):
    """Outcomes (n,) after CUPED."""

    outcomes: Float64s
    reduction: float
    """share of the variance that is gone, 0 to 1"""


def difference(outcomes: Float64s, treated: NDArray[np.bool_]) -> Difference:
    """The difference of the means of (n,) outcomes, by arm. Raises ValueError if an arm has fewer than 2 units."""
    treatment, control = outcomes[treated], outcomes[~treated]
    if min(len(treatment), len(control)) < 2:
        raise ValueError("an arm has fewer than 2 units")
    parts = np.array([treatment.var(ddof=1) / len(treatment), control.var(ddof=1) / len(control)])
    variance = float(parts.sum())
    degrees = parts**2 / np.array([len(treatment) - 1, len(control) - 1])
    freedom = variance**2 / float(degrees.sum()) if variance else float(len(outcomes) - 2)
    return Difference(
        float(treatment.mean() - control.mean()),
        float(np.sqrt(variance)),
        float(control.mean()),
        float(treatment.mean()),
        freedom,
    )


def cuped(outcomes: Float64s, before: Float64s, treated: NDArray[np.bool_]) -> Adjusted:
    """Outcomes (n,) less what the same units' figures `before` (n,) explain (Deng, Xu, Kohavi, Walker 2013).

    The slope is that within the arms, so that an effect of the treatment is not taken for one of the past. Units who
    were not there before have 0, or any constant.
    """
    past = before - np.where(treated, before[treated].mean(), before[~treated].mean())
    own = outcomes - np.where(treated, outcomes[treated].mean(), outcomes[~treated].mean())
    squares, variance = float(past @ past), float(own @ own)
    if not squares or not variance:
        return Adjusted(outcomes, 0.0)
    slope = float(past @ own) / squares
    adjusted = outcomes - slope * (before - before.mean())
    return Adjusted(adjusted, float(slope * (past @ own)) / variance)


def less_past(outcomes: Float64s, before: Float64s) -> Adjusted:
    """As `cuped`, with the slope over all units, whichever arm they are in: fixed before the arms are drawn anew."""
    past, own = before - before.mean(), outcomes - outcomes.mean()
    squares, variance = float(past @ past), float(own @ own)
    if not squares or not variance:
        return Adjusted(outcomes, 0.0)
    slope = float(past @ own) / squares
    return Adjusted(outcomes - slope * past, slope * float(past @ own) / variance)


def per_event(numerator: Float64s, denominator: Float64s, treated: NDArray[np.bool_]) -> Float64s:
    """(n,) numbers whose means by arm are the ratios of sums, and whose variances are those of these ratios.

    For rates such as accepted per invitation, whose denominator varies by unit: the delta method as a linearisation
    (Deng, Knoblich, Lu 2018). Raises ValueError if the denominators of an arm are all 0, which has no ratio.
    """
    out = np.empty(len(numerator))
    for arm in (treated, ~treated):
        ratio = ratio_of(numerator[arm], denominator[arm])
        if ratio is None:
            raise ValueError("an arm has nothing to count by")
        out[arm] = ratio + (numerator[arm] - ratio * denominator[arm]) / float(denominator[arm].mean())
    return out


def ratio_of(numerator: Float64s, denominator: Float64s) -> float | None:
    """The ratio of the sums; None without a denominator."""
    below = float(denominator.sum())
    return float(numerator.sum()) / below if below else None
