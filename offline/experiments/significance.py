"""Tests beside the differences: the sizes of the arms, many metrics at once, and groups of people."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MISMATCH = 0.001
"""p-value below which the sizes of the arms do not fit their shares: then no other figure is to be trusted"""
PERMUTATIONS = 999

Floats = NDArray[np.float64]


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> float:
    """p-value of the sizes of the arms given their shares (chi-square; Fabijan et al., KDD 2019).

    The shares need not add up to 1: units outside of all arms are not counted. 1 if nobody was counted.
    """
    total = sum(counts)
    if not total:
        return 1.0
    expected = np.asarray(shares, dtype=np.float64) / sum(shares) * total
    return float(stats.chisquare(counts, expected).pvalue)


def holm(p_values: Floats) -> Floats:
    """(m,) p-values that hold all together: the chance of any false positive is at most the level (Holm 1979)."""
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * (m - np.arange(m))), 1.0)
    return adjusted


class Groups(NamedTuple):
    """A rate by group, and how likely groups differ as much by chance."""

    rates: Floats
    """(g,) sum of numerators over sum of denominators; NaN for a group without any"""
    p: float
    """share of permutations, the true one included, whose groups differ at least as much"""


def by_group(
    groups: NDArray[np.int64],
    numerator: Floats,
    denominator: Floats,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Groups:
    """The rate of each group, and a permutation test of whether the rates are those of one group (Fisher 1935).

    `groups` (n,) are the groups of n people from 0, and the numbers (n,) each person's; with denominators of 1 the rate
    is a mean. The statistic is the spread of the rates, weighted by denominators; the test shuffles who is in which
    group, so that it holds with any distribution of the numbers.
    """
    size = int(groups.max()) + 1 if len(groups) else 0
    total = float(denominator.sum())
    if size < 2 or not total:
        sums = _sums(groups, denominator, size)
        return Groups(_ratio(_sums(groups, numerator, size), sums), 1.0)
    overall = float(numerator.sum()) / total

    def spread(labels: NDArray[np.int64]) -> tuple[Floats, float]:
        above = _sums(labels, numerator, size)
        below = _sums(labels, denominator, size)
        rates = _ratio(above, below)
        return rates, float(np.nansum(below * (rates - overall) ** 2))

    rates, observed = spread(groups)
    random = np.random.default_rng(seed)
    # relative, so that sums in another order are not larger by rounding
    larger = sum(spread(random.permutation(groups))[1] >= observed * (1 - 1e-9) for _ in range(permutations))
    return Groups(rates, (larger + 1) / (permutations + 1))


def _sums(groups: NDArray[np.int64], numbers: Floats, size: int) -> Floats:
    """(g,) sums of numbers by group."""
    return np.asarray(np.bincount(groups, weights=numbers, minlength=size), dtype=np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """(g,) quotients, NaN where nothing is below."""
    out: Floats = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out
