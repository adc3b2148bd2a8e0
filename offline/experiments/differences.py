"""The difference between two arms at one time: CUPED, rates as ratios of sums, and Welch's interval.

All functions take one number per unit (a viewer, or a person who was suggested) and know nothing of what it counts.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95

Floats = NDArray[np.float64]


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
        """Two-sided p-value; 1 if nothing varies and nothing differs."""
        if not self.error:
            return 1.0 if not self.value else 0.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))

    def half_width(self, level: float = LEVEL) -> float:
        """Half of the fixed-horizon interval: valid for one look, at a time chosen beforehand."""
        return float(self.error * stats.t.ppf((1 + level) / 2, self.freedom))


class Adjusted(NamedTuple):
    """Outcomes (n,) after CUPED."""

    outcomes: Floats
    reduction: float
    """share of the variance that is gone, 0 to 1"""


def difference(outcomes: Floats, treated: NDArray[np.bool_]) -> Difference:
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


def cuped(outcomes: Floats, before: Floats, treated: NDArray[np.bool_]) -> Adjusted:
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


def per_event(numerator: Floats, denominator: Floats, treated: NDArray[np.bool_]) -> Floats:
    """(n,) numbers whose means by arm are the ratios of sums, and whose variances are those of these ratios.

    For rates such as accepted per invitation, whose denominator varies by unit: the delta method as a linearisation
    (Deng, Knoblich, Lu 2018). An arm whose denominators are all 0 has the ratio 0.
    """
    out = np.empty(len(numerator))
    for arm in (treated, ~treated):
        mean = float(denominator[arm].mean()) if arm.any() else 0.0
        ratio = float(numerator[arm].mean()) / mean if mean else 0.0
        out[arm] = ratio + (numerator[arm] - ratio * denominator[arm]) / mean if mean else 0.0
    return out
