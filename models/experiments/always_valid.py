"""Tests that may be looked at as often as one likes: intervals of means, and evidence on shares and rates."""

from math import e, exp, lgamma, log, log1p

import numpy as np

from models.arrays import Float64s


def rate_of(information: float, alpha: float) -> float:
    """The rate r at which `mixture_widths` is narrowest at this information, an inverse variance."""
    spread = -2 * np.log(alpha)
    return float(information / (spread + np.log(spread) + 1))


def mixture_widths(errors: Float64s, information: Float64s, rate: float, alpha: float) -> Float64s:
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


def evidence_more(acts: float, expected: float) -> float:
    """Log of the evidence that things happen at a higher rate than the one at which `expected` would have; it is at
    least log(1 / alpha) with a probability of at most alpha at any of all looks if the rate is that or a lower one.

    The likelihood ratio of Poisson rates `x` times as high, x - 1 drawn exponentially, against that rate itself; a
    gamma integral over all x, less what those below 1 add to it, as in `evidence_above`. Acts may be fractions.
    """
    if acts <= expected:
        return 0.0
    whole = lgamma(acts + 1) + expected + 1 - (acts + 1) * log(expected + 1)
    return log(max(exp(min(whole, 600.0)) - (e - 1), 1e-300))


def evidence_fewer(acts: float, expected: float) -> float:
    """Log of the evidence that things happen at a lower rate than the one at which `expected` would have; else as
    `evidence_more`.

    Here x is drawn uniformly between 0 and 1. Above 1 the likelihood ratio is at most exp((acts - expected)(x - 1)).
    """
    if acts >= expected:
        return 0.0
    whole = lgamma(acts + 1) + expected - (acts + 1) * log(expected)
    return log(max(exp(min(whole, 600.0)) - 1 / (expected - acts), 1e-300))
