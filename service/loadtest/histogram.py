"""A histogram of durations whose buckets grow with them: any quantile to half a percent, in fixed memory."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOWEST_S, HIGHEST_S = 1e-6, 1e3
"""what lies outside counts in the outermost buckets; the extremes themselves are kept exactly"""
GROWTH = 1.0099
"""upper over lower edge of a bucket: its geometric middle is within 0.5% of all that is in it"""
BUCKETS = math.ceil(math.log(HIGHEST_S / LOWEST_S) / math.log(GROWTH))

_LOG_GROWTH = math.log(GROWTH)
_LOG_LOWEST = math.log(LOWEST_S)


class Histogram:
    """Counts of durations in seconds; those of several processes add up.

    As HdrHistogram (Tene 2012) it keeps a relative error over nine decades, with plain logarithms: durations come in
    batches, whose logarithms cost NumPy less than one call per duration costs Python.
    """

    __slots__ = ("counts", "highest_s", "lowest_s", "total_s")

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self.total_s = 0.0
        self.lowest_s = math.inf
        self.highest_s = 0.0

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def mean_s(self) -> float:
        """Mean of all durations, exactly; 0 where there is none."""
        return self.total_s / max(len(self), 1)

    def record(self, seconds: ArrayLike) -> None:
        """Counts durations (k,) in seconds."""
        values = np.asarray(seconds, dtype=np.float64)
        if not len(values):
            return
        clipped = np.clip(values, LOWEST_S, HIGHEST_S)
        places = ((np.log(clipped) - _LOG_LOWEST) / _LOG_GROWTH).astype(np.int64)
        self.counts += np.bincount(np.clip(places, 0, BUCKETS - 1), minlength=BUCKETS)
        self.total_s += float(values.sum())
        self.lowest_s = min(self.lowest_s, float(values.min()))
        self.highest_s = max(self.highest_s, float(values.max()))

    def merge(self, other: "Histogram") -> None:
        """Adds the counts of another."""
        self.counts += other.counts
        self.total_s += other.total_s
        self.lowest_s = min(self.lowest_s, other.lowest_s)
        self.highest_s = max(self.highest_s, other.highest_s)

    def quantile(self, share: float) -> float:
        """The duration in seconds that `share` of all do not exceed; NaN where there is none."""
        count = len(self)
        if not count:
            return math.nan
        rank = min(max(math.ceil(share * count), 1), count)
        if rank == count:
            return self.highest_s
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        middle = math.exp(_LOG_LOWEST + (bucket + 0.5) * _LOG_GROWTH)
        return min(max(middle, self.lowest_s), self.highest_s)

    def filled(self) -> list[tuple[float, int]]:
        """Upper edge in seconds and count of every bucket that is not empty, rising."""
        places = np.flatnonzero(self.counts)
        edges = np.exp(_LOG_LOWEST + (places + 1) * _LOG_GROWTH)
        return list(zip(edges.tolist(), self.counts[places].tolist(), strict=True))


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them added up."""
    whole = Histogram()
    for one in histograms:
        whole.merge(one)
    return whole
