"""Tests that may be looked at as often as one likes: intervals of means, and evidence that a share exceeds a bound."""

from math import lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rate_of(information: float, alpha: float) -> float:
    """The rate r at which `mixture_widths` is narrowest at this information, an inverse variance."""
    spread = -2 * np.log(alpha)
    return float(information / (spread + np.log(spread) + 1))


def mixture_widths(errors: Floats, information: Floats, rate: float, alpha: float) -> Floats:
    """Half widths of intervals that all hold at once with probability 1 - alpha, one for each look.

    `errors` are the standard errors at the looks, `information` I what they count as. The half width is

        error sqrt((1 + r/I) log((I + r) / (r alpha**2)))

    the normal mixture boundary (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021) with estimated variance, which is
    an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024).
    """
    return np.asarray(errors * np.sqrt((1 + rate / information) * np.log((information + rate) / (rate * alpha**2))))


def evidence_above(hits: float, draws: float, bound: float) -> float:
    """Log of the evidence that more than `bound` of all draws are hits; it is at least log(1 / alpha) with a
    probability of at most alpha at any of all looks if the share is `bound` or less.

    The likelihood ratio of shares drawn uniformly above the bound against the bound itself (Robbins 1970; a
    nonnegative supermartingale, Ville 1939), bounded from below: the ratio of a uniform share of the whole interval,
    a beta integral, less what shares below the bound add to it. Hits and draws may be fractions.
    """
    if draws <= 0 or hits / draws <= bound:
        return 0.0
    misses = draws - hits
    whole = lgamma(hits + 1) + lgamma(misses + 1) - lgamma(draws + 2)
    at_bound = hits * log(bound) + misses * log1p(-bound)
    # below the bound no share is likelier than the bound, as the observed share is above
    ratio = np.exp(min(whole - at_bound, 600.0)) - bound
    return float(np.log(max(ratio / (1 - bound), 1e-300)))
