"""Spreads from one user over the graph: mutual friends, three-hop paths, personalised PageRank.

Every function fills arrays of n rows that the caller owns and zeroes through the list of touched rows, so that a thread
serves any number of users with one allocation. What one step reads and writes of a row lies in one record of 16 bytes:
rows come in no order, and each costs a cache line.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

RESTART = 0.15
"""restart probability of personalised PageRank"""

MUTUAL, ALLOCATED, LIFTED = 0, 1, 2
"""columns of `near`: mutual friends, resource allocation, and what paths of length three start from"""
NEAR_COLUMNS = 4
"""of them the last is not used, so that no record lies in two cache lines"""
RANK, RESIDUAL, FRIENDS, QUEUED = 0, 1, 2, 3
"""columns of `walk`: personalised PageRank, what is not pushed yet, the row's degree, and whether it waits"""
WALK_COLUMNS = 4

Scores = NDArray[np.float32]


@compiled(fastmath=True)
def spread_two_hops(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    user: int,
    near: Scores,
    touched: NDArray[np.int32],
) -> int:
    """Common neighbours and resource allocation of `user` with all rows two steps away, in `near` (n, NEAR_COLUMNS).

    Resource allocation sums 1 / degree of the mutual friends (Zhou, Lu, Zhang 2009). The column LIFTED sums 1 /
    sqrt(degree), for three-hop paths to start from. Fills `touched` with the rows reached, the user and their friends
    included, and returns their number.
    """
    count = 0
    for at in range(indptr[user], indptr[user + 1]):
        friend = indices[at]
        degree = max(indptr[friend + 1] - indptr[friend], 1)  # may be 0 for a friend of an out-of-graph user
        inverse = np.float32(1.0 / degree)
        inverse_root = np.float32(1.0 / np.sqrt(degree))
        for other_at in range(indptr[friend], indptr[friend + 1]):
            other = indices[other_at]
            if near[other, MUTUAL] == 0.0:
                touched[count] = other
                count += 1
            near[other, MUTUAL] += np.float32(1.0)
            near[other, ALLOCATED] += inverse
            near[other, LIFTED] += inverse_root
    return count


@compiled(fastmath=True)
def spread_three_hops(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    user: int,
    reached: NDArray[np.int32],
    near: Scores,
    max_edges: int,
    three_hops: Scores,
    touched: NDArray[np.int32],
) -> int:
    """Paths user - a - b - candidate, each worth 1 / sqrt(degree(a) degree(b)) (Kovacs and others 2019, L3).

    `reached` are the rows b two steps away, with `near` as spread_two_hops fills it; the user is skipped. Rows are
    followed in the given order; a row that would exceed `max_edges` edges is skipped. Adds to `three_hops` (n,), fills
    `touched` with the rows three steps away and returns their number.
    """
    count = 0
    edges = 0
    for at in range(len(reached)):
        middle = reached[at]
        if middle == user:
            continue
        degree = indptr[middle + 1] - indptr[middle]
        if degree == 0 or edges + degree > max_edges:  # 0 where a part of a graph lacks the row's friends
            continue
        edges += degree
        mass = near[middle, LIFTED] / np.float32(np.sqrt(degree))
        for other_at in range(indptr[middle], indptr[middle + 1]):
            other = indices[other_at]
            if three_hops[other] == 0.0:
                touched[count] = other
                count += 1
            three_hops[other] += mass
    return count


@compiled(fastmath=True)
def push(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    row: int,
    tolerance: float,
    walk: Scores,
    queue: NDArray[np.int32],
    head: int,
    waiting: int,
    touched: NDArray[np.int32],
    count: int,
) -> tuple[int, int]:
    """One push of forward push: a row with friends keeps RESTART of its residual and passes the rest on to them.

    `queue` is a ring in which `waiting` rows wait from place `head` on. Friends whose residual comes to exceed the
    tolerance join it; rows that had no mass go into `touched` from place `count` on. Returns how many wait then, and
    how many were touched.
    """
    n = len(queue)
    mass = walk[row, RESIDUAL]
    walk[row, RESIDUAL] = np.float32(0.0)
    walk[row, RANK] += np.float32(RESTART) * mass
    degree = indptr[row + 1] - indptr[row]
    if degree == 0:
        return waiting, count
    share = np.float32(1.0 - RESTART) * mass / np.float32(degree)
    for at in range(indptr[row], indptr[row + 1]):
        other = indices[at]
        residual = walk[other, RESIDUAL]
        if residual == 0.0 and walk[other, RANK] == 0.0:
            touched[count] = other
            count += 1
        residual += share
        walk[other, RESIDUAL] = residual
        if walk[other, QUEUED] == 0.0 and residual > tolerance * walk[other, FRIENDS]:
            walk[other, QUEUED] = np.float32(1.0)
            tail = head + waiting
            queue[tail - n if tail >= n else tail] = other
            waiting += 1
    return waiting, count


@compiled(fastmath=True)
def settle(walk: Scores, touched: NDArray[np.int32], count: int) -> None:
    """Keeps a share of what was not pushed of the first `count` rows touched, and zeroes the working columns."""
    for at in range(count):
        row = touched[at]
        walk[row, RANK] += np.float32(RESTART) * walk[row, RESIDUAL]
        walk[row, RESIDUAL] = np.float32(0.0)
        walk[row, QUEUED] = np.float32(0.0)


@compiled(fastmath=True)
def spread_walks(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    user: int,
    tolerance: float,
    max_edges: int,
    walk: Scores,
    queue: NDArray[np.int32],
    touched: NDArray[np.int32],
) -> int:
    """Personalised PageRank of `user` by forward push (Andersen, Chung, Lang 2006), restart probability RESTART.

    A row is pushed while its residual exceeds `tolerance` times its degree, until `max_edges` edges were crossed.
    `walk` (n, WALK_COLUMNS) holds every row's degree in FRIENDS; PageRank goes to RANK, and the other columns are
    zeroed at the end. `queue` is a ring of length n. Fills `touched` with every row that got mass and returns their
    number.
    """
    # start: all mass at the user
    n = len(indptr) - 1
    touched[0] = user
    walk[user, RESIDUAL] = np.float32(1.0)
    queue[0] = user
    walk[user, QUEUED] = np.float32(1.0)
    head, waiting, count, edges = 0, 1, 1, 0
    # push: keep a share of a row's mass, pass the rest to its neighbours
    while waiting > 0 and edges < max_edges:
        row = queue[head]
        head = head + 1 if head + 1 < n else 0
        waiting -= 1
        walk[row, QUEUED] = np.float32(0.0)
        edges += indptr[row + 1] - indptr[row]
        waiting, count = push(indptr, indices, row, tolerance, walk, queue, head, waiting, touched, count)
    settle(walk, touched, count)
    return count
