"""Tests beside the differences: the sizes of the arms, and many metrics at once."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from models.arrays import Float64s

MISMATCH = 0.001
"""p-value below which the sizes of the arms do not fit their shares: then no other figure is to be trusted"""


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> float:
    """p-value of the sizes of the arms given their shares (chi-square; Fabijan et al., KDD 2019).

    The shares need not add up to 1: units outside of all arms are not counted. 1 if nobody was counted.
    """
    total = sum(counts)
    if not total:
        return 1.0
    expected = np.asarray(shares, dtype=np.float64) / sum(shares) * total
    return float(stats.chisquare(counts, expected).pvalue)


def holm(p_values: Float64s) -> Float64s:
    """(m,) p-values that hold all together: the chance of any false positive is at most the level (Holm 1979)."""
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * (m - np.arange(m))), 1.0)
    return adjusted
