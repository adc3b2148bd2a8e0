"""Statistics of each user's neighbourhood in the graph, for the models."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.numba_cache import compiled

LARGEST_SAMPLE: Final = 64
"""most friends, evenly spaced, that the clustering of one user reads"""
SHORTEST: Final = 1e-6
"""least spectral norm, for users outside the leading eigenvectors"""


TOWER_MEAN: Final = np.array([2.5, 0.2, 3.0, 0.5], dtype=np.float32)
TOWER_SCALE: Final = np.array([1.0, 0.2, 1.0, 1.0], dtype=np.float32)
"""scale the statistics to order one; fixed, so that a number means the same in every graph"""


def tower_statistics(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """The statistics (..., s), standardised for the towers."""
    return (statistics - TOWER_MEAN) / TOWER_SCALE


def user_statistics(graph: Graph, spectral_norm: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, len(STATISTICS)) float32 of all users; `spectral_norm` is (n,) float32."""
    log_degree = np.log1p(graph.degrees.astype(np.float32))
    clustering, friends = _neighbourhoods(graph.indptr, graph.indices, log_degree, LARGEST_SAMPLE)
    norm = np.log(np.maximum(spectral_norm, SHORTEST))
    return np.stack([log_degree, clustering, friends, norm], axis=1).astype(np.float32)


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
