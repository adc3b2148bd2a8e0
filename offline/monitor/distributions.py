"""Distances of two distributions, and how large chance alone makes them.

PSI, the population stability index, is the symmetric Kullback-Leibler divergence over bins (Kullback, Leibler 1951);
where nothing drifted, it times n m / (n + m) follows a chi-squared distribution with a degree of freedom less than bins
(Yurdakul 2018). KS is the largest distance of two cumulative distributions (Smirnov 1948).
"""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from scipy.stats import chi2

from models.arrays import Float64s

NAMED_VALUES = 20
"""values of a category with a bin of their own"""
DECILES = 10
ALMOST_NEVER = 1e-4
"""chance of a false alarm by one check"""
SELDOM = 1e-3
"""chance of a false warning by one check"""
EMPTY_BIN = 0.5
"""people counted in a bin without anybody, so that its logarithm is finite"""


def psi(then: Sequence[float] | Float64s, now: Sequence[float] | Float64s) -> float:
    """The index of two histograms over the same bins, of counts."""
    one, other = (np.maximum(np.asarray(counts, np.float64), EMPTY_BIN) for counts in (then, now))
    p, q = one / one.sum(), other / other.sum()
    return float(((q - p) * np.log(q / p)).sum())


def psi_by_chance(bins: int, n: float, m: float, chance: float) -> float:
    """What the index of two samples of n and m from one distribution exceeds with this chance."""
    return float(chi2.isf(chance, max(bins - 1, 1))) * (1 / max(n, 1) + 1 / max(m, 1))


def ks(then: Sequence[float], now: Sequence[float]) -> float:
    """The largest distance of two distributions that are given by their quantiles; 0 if one has none."""
    if not then or not now:
        return 0.0
    one, other = np.asarray(then), np.asarray(now)
    points = np.union1d(one, other)
    below = np.searchsorted(one, points, side="right") / len(one)
    above = np.searchsorted(other, points, side="right") / len(other)
    return float(np.abs(below - above).max())


def ks_by_chance(n: float, m: float, chance: float) -> float:
    """What the distance of two samples of n and m from one distribution exceeds with this chance (Smirnov)."""
    return sqrt(-np.log(chance / 2) / 2 * (1 / max(n, 1) + 1 / max(m, 1)))


def bins_of_values(then: Mapping[str, int], now: Mapping[str, int]) -> tuple[list[str], Float64s, Float64s]:
    """Names and counts of the bins of two categories: the most frequent values then, and all others together."""
    named = list(then)[:NAMED_VALUES]
    rest = [sum(counts.values()) - sum(counts.get(value, 0) for value in named) for counts in (then, now)]
    one, other = ([float(counts.get(value, 0)) for value in named] for counts in (then, now))
    return [*named, "all others"], np.array([*one, rest[0]]), np.array([*other, rest[1]])


def bins_of_quantiles(then: Sequence[float], now: Sequence[float], n: float, m: float) -> tuple[Float64s, Float64s]:
    """Counts of the bins between the deciles of then, of n people then and m now."""
    one, other = np.asarray(then), np.asarray(now)
    edges = np.unique(np.quantile(one, np.linspace(0, 1, DECILES + 1)[1:-1], method="inverted_cdf"))
    counts = (np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) for values in (one, other))
    found = [count / count.sum() for count in counts]
    return found[0] * n, found[1] * m
