"""The difference between two groups where events are too few for Welch's test.

Who is in which group was drawn by a hash, so it can be drawn anew: how often the difference is then at least as large
is its p-value, exact for the hypothesis that the arm changes nothing for anybody, however few the events and however
uneven the groups (Fisher 1935).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from offline.experiments.differences import LEVEL

LEAST_UNITS = 50
"""units of the smaller group below which Welch's test is not used"""
LEAST_BY_SKEWNESS = 100.0
"""units of the smaller group, by the square of the skewness, below which it is not either (Cochran 1977 has 25 for one
mean at 95%; corrected for many metrics the tails count); of rare events these are about 100 events"""
LEAST_DRAWS = 100
"""draws with a ratio in both groups, below which nothing is said of chance"""
DRAWS = (1_999, 19_999)
"""groups that are drawn anew: first, and where the first say that the difference may be more than chance"""
_DOUBTFUL = 0.2
_CELLS_AT_ONCE = 1 << 21
_ROUNDING = 1e-9


class Randomised(NamedTuple):
    """What chance alone would make of a difference."""

    p: float
    """two-sided"""
    low: float | None
    """of the interval: the difference without the middle LEVEL of what chance moves it by; None: too few draws tell"""
    high: float | None


def are_few(values: Float64s, treated: NDArray[np.bool_], counted: NDArray[np.bool_] | None = None) -> bool:
    """Whether (n,) values of two groups are too few, too skewed or too much alike for Welch's test.

    `counted` (n,) are the units that say anything, default all. The skewness is that of both groups together, and the
    units are spread over them by their sizes, so that who is in which hardly decides on the test. A group without
    variance has Welch's error of 0, which says nothing.
    """
    share = min(float(treated.mean()), float((~treated).mean()))
    if counted is not None:
        values, treated = values[counted], treated[counted]
    own = values - values.mean()
    variance = float((own**2).mean())
    if not variance:
        return False
    skewness = float((own**3).mean()) / variance**1.5
    is_flat = any(np.ptp(values[arm]) == 0 for arm in (treated, ~treated))
    return is_flat or share * len(values) < max(LEAST_UNITS, LEAST_BY_SKEWNESS * skewness**2)


def randomised(
    numerator: Float64s,
    denominator: Float64s,
    treated: NDArray[np.bool_],
    seed: int = 0,
    draws: tuple[int, ...] = DRAWS,
) -> Randomised:
    """The difference of two ratios of sums, of (n,) numbers of each unit, against groups of the same sizes drawn anew.

    With denominators of 1 these are means. Draws in which a group has no denominator have no ratio and do not count;
    both groups must have one.
    """
    # units with the same numbers are drawn together
    pairs, counts = np.unique(np.column_stack([numerator, denominator]), axis=0, return_counts=True)
    total, size = counts @ pairs, int(treated.sum())
    random = np.random.default_rng(seed)

    def differences(sums: Float64s) -> Float64s:
        """(m,) of the (m, 2) sums of the treatment."""
        others = total - sums
        defined = (sums[:, 1] > 0) & (others[:, 1] > 0)
        return np.asarray(sums[defined, 0] / sums[defined, 1] - others[defined, 0] / others[defined, 1])

    def drawn(times: int) -> Float64s:
        step = max(_CELLS_AT_ONCE // len(counts), 1)
        parts = []
        for start in range(0, times, step):
            chosen = random.multivariate_hypergeometric(counts, size, size=min(step, times - start), method="marginals")
            parts.append(differences(chosen @ pairs))
        return np.concatenate(parts)

    value = float(differences(np.array([[numerator[treated].sum(), denominator[treated].sum()]]))[0])
    p, found = 1.0, np.zeros(1)
    for times in draws:
        found = drawn(times)
        if len(found) < LEAST_DRAWS:
            return Randomised(1.0, None, None)
        # sums in another order are not further out by rounding
        near = _ROUNDING * max(abs(value), 1.0)
        above, below = int((found >= value - near).sum()), int((found <= value + near).sum())
        p = min(1.0, 2 * (1 + min(above, below)) / (1 + len(found)))
        if p > _DOUBTFUL:
            break
    tail = (1 - LEVEL) / 2
    least, most = np.quantile(found, [tail, 1 - tail])
    return Randomised(p, value - float(most), value - float(least))
