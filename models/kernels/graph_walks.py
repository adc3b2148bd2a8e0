"""Spreads from one user over the graph: mutual friends, three-hop paths, personalised PageRank.

Every function fills arrays of length n that the caller owns and zeroes through the list of touched rows, so that a
thread serves any number of users with one allocation.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

RESTART = 0.15
"""restart probability of personalised PageRank"""

Scores = NDArray[np.float32]


@compiled(fastmath=True)
def spread_two_hops(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    user: int,
    common: Scores,
    allocation: Scores,
    lift: Scores,
    touched: NDArray[np.int32],
) -> int:
    """Common neighbours and resource allocation of `user` with all rows two steps away.

    Resource allocation sums 1 / degree of the mutual friends (Zhou, Lu, Zhang 2009). `lift` sums 1 / sqrt(degree), for
    three-hop paths to start from. Fills `touched` with the rows reached, the user and their friends included, and
    returns their number.
    """
    count = 0
    for at in range(indptr[user], indptr[user + 1]):
        friend = indices[at]
        degree = max(indptr[friend + 1] - indptr[friend], 1)  # may be 0 for a friend of an out-of-graph user
        inverse = np.float32(1.0 / degree)
        inverse_root = np.float32(1.0 / np.sqrt(degree))
        for other_at in range(indptr[friend], indptr[friend + 1]):
            other = indices[other_at]
            if common[other] == 0.0:
                touched[count] = other
                count += 1
            common[other] += np.float32(1.0)
            allocation[other] += inverse
            lift[other] += inverse_root
    return count


@compiled(fastmath=True)
def spread_three_hops(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    user: int,
    reached: NDArray[np.int32],
    lift: Scores,
    max_edges: int,
    three_hops: Scores,
    touched: NDArray[np.int32],
) -> int:
    """Paths user - a - b - candidate, each worth 1 / sqrt(degree(a) degree(b)) (Kovacs and others 2019, L3).

    `reached` are the rows b two steps away; the user is skipped. Rows are followed in the given order; a row that would
    exceed `max_edges` edges is skipped. Fills `touched` with the rows three steps away and returns their number.
    """
    count = 0
    edges = 0
    for at in range(len(reached)):
        middle = reached[at]
        if middle == user:
            continue
        degree = indptr[middle + 1] - indptr[middle]
        if edges + degree > max_edges:
            continue
        edges += degree
        mass = lift[middle] / np.float32(np.sqrt(degree))
        for other_at in range(indptr[middle], indptr[middle + 1]):
            other = indices[other_at]
            if three_hops[other] == 0.0:
                touched[count] = other
                count += 1
            three_hops[other] += mass
    return count


@compiled(fastmath=True)
def spread_walks(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    user: int,
    tolerance: float,
    max_edges: int,
    pagerank: Scores,
    residual: Scores,
    queue: NDArray[np.int32],
    queued: NDArray[np.bool_],
    touched: NDArray[np.int32],
) -> int:
    """Personalised PageRank of `user` by forward push (Andersen, Chung, Lang 2006), restart probability RESTART.

    A row is pushed while its residual exceeds `tolerance` times its degree, until `max_edges` edges were crossed.
    `queue` is a ring of length n; `residual` and `queued` are zeroed at the end. Fills `touched` with every row that
    got mass and returns their number.
    """
    # start: all mass at the user
    n = len(indptr) - 1
    count = 1
    touched[0] = user
    residual[user] = np.float32(1.0)
    queue[0] = user
    queued[user] = True
    head, waiting, edges = 0, 1, 0
    # push: keep a share of a row's mass, pass the rest to its neighbours
    while waiting > 0 and edges < max_edges:
        row = queue[head]
        head = head + 1 if head + 1 < n else 0
        waiting -= 1
        queued[row] = False
        mass = residual[row]
        residual[row] = np.float32(0.0)
        pagerank[row] += np.float32(RESTART) * mass
        degree = indptr[row + 1] - indptr[row]
        if degree == 0:
            continue
        edges += degree
        share = np.float32(1.0 - RESTART) * mass / np.float32(degree)
        for at in range(indptr[row], indptr[row + 1]):
            other = indices[at]
            if residual[other] == 0.0 and pagerank[other] == 0.0:
                touched[count] = other
                count += 1
            residual[other] += share
            if not queued[other] and residual[other] > tolerance * (indptr[other + 1] - indptr[other]):
                queued[other] = True
                tail = head + waiting
                queue[tail - n if tail >= n else tail] = other
                waiting += 1
    # settle the residuals and zero the working arrays
    for at in range(count):
        row = touched[at]
        pagerank[row] += np.float32(RESTART) * residual[row]
        residual[row] = np.float32(0.0)
        queued[row] = False
    return count
