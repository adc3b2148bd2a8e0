"""Spreads from one user over the graph: mutual friends, three-hop paths, personalised PageRank.

Every function fills arrays of n rows that the caller owns and zeroes through the list of touched rows, so that a thread
serves any number of users with one allocation; friends are int32 rows. What one step reads and writes of a row lies in
one record of 16 bytes: rows come in no order, and each costs a cache line, which is asked for ahead. Numbers of rows
are read as unsigned, so that numba looks at none for its sign. Each row that is met is written behind the list of
touched rows, which grows only if the row is new: a branch that no processor can foresee would cost more.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled
from models.kernels.prefetch import AHEAD, prefetch, prefetch_entry

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

INDPTR_AHEAD, FRIENDS_AHEAD = 8, 4
"""turns before its own at which a row's entry in `indptr` is asked for, and the beginning of its list of friends"""
MOST_AHEAD = 64
"""friends of the next row whose records are asked for"""


@compiled()
def prefetch_friends(indptr: NDArray[np.int64], indices: NDArray[np.int32], row: int, table: Scores) -> None:
    """Asks for the records in `table` (n, 4) of a row's first friends, MOST_AHEAD at most."""
    start = indptr[row]
    for at in range(start, min(indptr[row + 1], start + MOST_AHEAD)):
        prefetch(table, int(indices[at]), 0)


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
    sqrt(degree), for three-hop paths to start from. Fills `touched` (n + 1,) with the rows reached, the user and their
    friends included, and returns their number.
    """
    rows, count, last = indices.view(np.uint32), 0, indptr[user + 1]
    for at in range(indptr[user], min(indptr[user] + AHEAD, last)):
        prefetch_entry(indices, indptr[rows[at]])
    for at in range(indptr[user], last):
        friend = rows[at]
        if at + AHEAD < last:
            prefetch_entry(indices, indptr[rows[at + AHEAD]])
        if at + 1 < last:
            prefetch_friends(indptr, indices, rows[at + 1], near)
        degree = max(indptr[friend + 1] - indptr[friend], 1)  # may be 0 for a friend of an out-of-graph user
        inverse = np.float32(1.0 / degree)
        inverse_root = np.float32(1.0 / np.sqrt(degree))
        for other_at in range(indptr[friend], indptr[friend + 1]):
            other = rows[other_at]
            touched[count] = other
            count += near[other, MUTUAL] == 0.0
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
    `touched` (n + 1,) with the rows three steps away and returns their number.
    """
    rows, count, edges, m = indices.view(np.uint32), 0, 0, len(reached)
    for at in range(m):
        middle = reached[at]
        if at + INDPTR_AHEAD < m:
            prefetch_entry(indptr, int(reached[at + INDPTR_AHEAD]))
        if at + FRIENDS_AHEAD < m:
            prefetch_entry(indices, indptr[reached[at + FRIENDS_AHEAD]])
        if middle == user:
            continue
        degree = indptr[middle + 1] - indptr[middle]
        if degree == 0 or edges + degree > max_edges:  # 0 where a part of a graph lacks the row's friends
            continue
        edges += degree
        mass = near[middle, LIFTED] / np.float32(np.sqrt(degree))
        for other_at in range(indptr[middle], indptr[middle + 1]):
            other = rows[other_at]
            touched[count] = other
            count += three_hops[other] == 0.0
            three_hops[other] += mass
    return count


@compiled()
def place(queue: NDArray[np.int32], head: int, after: int) -> int:
    """The place in a ring of what comes so many rows, fewer than it holds, after its head."""
    at = head + after
    return at - len(queue) if at >= len(queue) else at


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

    `queue` (n + 1,) is a ring in which `waiting` rows wait from place `head` on. Friends whose residual comes to exceed
    the tolerance join it; rows that had no mass go into `touched` (n + 1,) from place `count` on. Returns how many wait
    then, and how many were touched.
    """
    rows = indices.view(np.uint32)
    mass = walk[row, RESIDUAL]
    walk[row, RESIDUAL] = np.float32(0.0)
    walk[row, RANK] += np.float32(RESTART) * mass
    degree = indptr[row + 1] - indptr[row]
    if degree == 0:
        return waiting, count
    share = np.float32(1.0 - RESTART) * mass / np.float32(degree)
    for at in range(indptr[row], indptr[row + 1]):
        other = rows[at]
        residual = walk[other, RESIDUAL]
        touched[count] = other
        count += (residual == 0.0) & (walk[other, RANK] == 0.0)
        residual += share
        walk[other, RESIDUAL] = residual
        joins = (walk[other, QUEUED] == 0.0) & (residual > tolerance * walk[other, FRIENDS])
        walk[other, QUEUED] = np.float32(1.0) if joins else walk[other, QUEUED]
        queue[place(queue, head, waiting)] = other
        waiting += joins
    return waiting, count


@compiled()
def prefetch_waiting(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    walk: Scores,
    queue: NDArray[np.int32],
    head: int,
    waiting: int,
) -> None:
    """Asks for what the pushes of the rows next in the queue are going to read."""
    if waiting > INDPTR_AHEAD:
        prefetch_entry(indptr, int(queue[place(queue, head, INDPTR_AHEAD)]))
    if waiting > FRIENDS_AHEAD:
        prefetch_entry(indices, indptr[queue[place(queue, head, FRIENDS_AHEAD)]])
    if waiting > 1:
        prefetch_friends(indptr, indices, queue[place(queue, head, 1)], walk)


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
    zeroed at the end. `queue` (n + 1,) is a ring. Fills `touched` (n + 1,) with every row that got mass and returns
    their number.
    """
    # start: all mass at the user
    touched[0] = user
    walk[user, RESIDUAL] = np.float32(1.0)
    queue[0] = user
    walk[user, QUEUED] = np.float32(1.0)
    head, waiting, count, edges = 0, 1, 1, 0
    # push: keep a share of a row's mass, pass the rest to its neighbours
    while waiting > 0 and edges < max_edges:
        row = queue[head]
        prefetch_waiting(indptr, indices, walk, queue, head, waiting)
        head = place(queue, head, 1)
        waiting -= 1
        walk[row, QUEUED] = np.float32(0.0)
        edges += indptr[row + 1] - indptr[row]
        waiting, count = push(indptr, indices, row, tolerance, walk, queue, head, waiting, touched, count)
    settle(walk, touched, count)
    return count
