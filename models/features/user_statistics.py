"""Statistics of each user's neighbourhood in the graph, for the models."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.numba_cache import compiled
from models.schema.statistic_names import (
    AGE_SCALE,
    DATED_STATISTICS,
    FRIENDS_LOG_DEGREE,
    HORIZONS,
    LATE_10,
    LOG_DEGREE,
    STATISTICS,
    WIDTHS,
)

LARGEST_SAMPLE: Final = 64
"""most friends, evenly spaced, that the clustering of one user reads"""
SHORTEST: Final = 1e-6
"""least spectral norm, for users outside the leading eigenvectors"""
EARLIEST: Final = -(1 << 62)
"""a date in seconds before this one means: not known"""


TOWER_MEAN: Final = np.array([2.5, 0.2, 3.0, 0.5], dtype=np.float32)
TOWER_SCALE: Final = np.array([1.0, 0.2, 1.0, 1.0], dtype=np.float32)
"""scale the statistics to order one; fixed, so that a number means the same in every graph"""


def tower_statistics(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """The statistics (..., s) that need no dates, (..., 4), standardised for the towers."""
    return (statistics[..., : len(TOWER_MEAN)] - TOWER_MEAN) / TOWER_SCALE


def user_statistics(
    graph: Graph, spectral_norm: NDArray[np.float32], neighbourhoods: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """(n, len(STATISTICS)) float32 of all users; `spectral_norm` is (n,) float32.

    `neighbourhoods` (n, 2) are the clustering and the mean log degree of friends, if they are known already.
    """
    log_degree = np.log1p(graph.degrees.astype(np.float32))
    if neighbourhoods is None:
        clustering, friends = _neighbourhoods(graph.indptr, graph.indices, log_degree, LARGEST_SAMPLE)
    else:
        clustering, friends = neighbourhoods.T
    norm = np.log(np.maximum(spectral_norm, SHORTEST))
    return np.stack([log_degree, clustering, friends, norm], axis=1).astype(np.float32)


def dated_statistics(
    n: int, a: NDArray[np.integer], b: NDArray[np.integer], dates: NDArray[np.int64], moment: int
) -> NDArray[np.float32]:
    """(n, len(DATED_STATISTICS)) float32 of all users as of a moment, from the pairs (a, b) made at `dates` (m,).

    Dates and moment in seconds. A date before `EARLIEST` is not known: it counts as the first one known, and so long
    ago. Of a user without friendships the last is as long ago as can be, and the first is not yet made.
    """
    made = np.concatenate([dates, dates])
    who = np.concatenate([a, b])
    known = made[made > EARLIEST]
    start = int(known.min()) if len(known) else moment - 1
    span = max(float(moment - start), 1.0)
    age = np.clip((moment - np.maximum(made, start)) / span, 0, 1)
    found = np.empty((n, len(DATED_STATISTICS)), np.float32)
    for at, horizon in enumerate(HORIZONS):
        found[:, at] = np.log1p(np.bincount(who[age < horizon], minlength=n))
    last, first = np.ones(n), np.zeros(n)
    np.minimum.at(last, who, age)
    np.maximum.at(first, who, age)
    found[:, -2:] = np.log1p(AGE_SCALE * np.stack([last, first], axis=1))
    return found


def with_new_friends(statistics: NDArray[np.float32], known: int, new: int) -> NDArray[np.float32]:
    """The dated statistics (len(DATED_STATISTICS),) of one user, `known` friends at the cut, and `new` ones since."""
    if not new:
        return statistics
    found = statistics.copy()
    found[: len(HORIZONS)] = np.log1p(np.expm1(found[: len(HORIZONS)]) + new)
    found[-2] = 0
    if not known:
        found[-1] = 0
    return found


def befriended(statistics: NDArray[np.float32], degrees: NDArray[np.integer], lost: int = 0) -> NDArray[np.float32]:
    """(s,) float32: the statistics of one user after friends of these degrees (f,) were made and some were lost.

    Their clustering and the spectral norm stay what they were. Statistics of another kind come back as they are.
    """
    if len(statistics) not in WIDTHS:
        return statistics
    found, count = statistics.copy(), float(np.expm1(statistics[LOG_DEGREE]))
    found[LOG_DEGREE] = np.log1p(max(count + len(degrees) - lost, 0))
    if len(degrees):
        total = found[FRIENDS_LOG_DEGREE] * count + np.log1p(degrees).sum()
        found[FRIENDS_LOG_DEGREE] = total / (count + len(degrees))
    if len(found) > len(STATISTICS):
        found[len(STATISTICS) :] = with_new_friends(found[len(STATISTICS) :], round(count), len(degrees))
    found.setflags(write=False)  # as a row of the tables: kernels are compiled for either
    return found


def late_of(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) float32: ln(1 + friendships of late) of all users; empty if the statistics (n, s) know no dates."""
    if statistics.shape[1] <= len(STATISTICS):
        return np.zeros(0, np.float32)
    return np.ascontiguousarray(statistics[:, LATE_10])


def nobody_yet() -> NDArray[np.float32]:
    """(len(DATED_STATISTICS),) float32 of a user without friendships."""
    nothing = np.zeros(0, np.int64)
    found: NDArray[np.float32] = dated_statistics(1, nothing, nothing, nothing, 0)[0]
    return found


@compiled()
def _neighbourhoods(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[np.float32], sample: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Clustering of each row, and the mean of `values` over its neighbours, both (n,) float32; 0 without neighbours."""
    n = len(indptr) - 1
    clustering = np.zeros(n, np.float32)
    means = np.zeros(n, np.float32)
    is_friend = np.zeros(n, np.bool_)
    for row in range(n):
        friends = indices[indptr[row] : indptr[row + 1]]
        if len(friends) == 0:
            continue
        means[row] = values[friends].mean()
        stride = max(len(friends) / sample, 1.0)
        looked = min(len(friends), sample)
        if looked < 2:
            continue
        for k in range(looked):
            is_friend[friends[int(k * stride)]] = True
        closed = 0
        for k in range(looked):
            friend = friends[int(k * stride)]
            for at in range(indptr[friend], indptr[friend + 1]):
                closed += is_friend[indices[at]]
        for k in range(looked):
            is_friend[friends[int(k * stride)]] = False
        clustering[row] = closed / (looked * (looked - 1))
    return clustering, means
