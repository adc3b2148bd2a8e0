"""What a part of a graph lacks: the rows whose friends, or whose vectors, the candidates of its viewers need.

The walks of models.kernels.graph_walks go from row to row, and which row comes next depends on all before. So a task
that has the friends of some rows alone walks as far as these go, and marks the rows whose friends come next. A row that
it has no friends of has a degree in `work.walk`, and no entries in the arrays.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import CandidateArrays, SourceLimits, WorkBuffers
from models.kernels.candidate_pool import clear, gather_all, unmark_excluded
from models.kernels.graph_walks import (
    ALLOCATED,
    FRIENDS,
    LIFTED,
    MUTUAL,
    QUEUED,
    RANK,
    RESIDUAL,
    push,
    settle,
    spread_two_hops,
)
from models.kernels.numba_cache import compiled
from models.kernels.selection import mixed


@compiled()
def mark_missing(
    arrays: CandidateArrays,
    limits: SourceLimits,
    work: WorkBuffers,
    listed: NDArray[np.bool_],
    users: NDArray[np.int64],
    wanted: NDArray[np.bool_],
) -> None:
    """Marks in `wanted` (n,) the rows whose friends the users' walks need next and that are not `listed` (n,).

    If it marks none, the walks of models.kernels.candidate_pool.spread_all are those of the whole graph.
    """
    for user in users:
        mark_paths(arrays, limits, work, listed, user, wanted)
        mark_walks(arrays, limits, work, listed, user, wanted)


@compiled()
def mark_paths(
    arrays: CandidateArrays,
    limits: SourceLimits,
    work: WorkBuffers,
    listed: NDArray[np.bool_],
    user: int,
    wanted: NDArray[np.bool_],
) -> None:
    """Marks the friends of a user, or, if all of them are listed, the rows that three-hop paths lead through."""
    indptr, indices = arrays.indptr, arrays.indices
    whole = True
    for at in range(indptr[user], indptr[user + 1]):
        if not listed[indices[at]]:
            wanted[indices[at]] = True
            whole = False
    if not whole:
        return
    two = spread_two_hops(indptr, indices, user, work.near, work.two)
    edges = 0
    for at in range(two):
        middle = work.two[at]
        work.near[middle, MUTUAL] = 0.0
        work.near[middle, ALLOCATED] = 0.0
        work.near[middle, LIFTED] = 0.0
        degree = int(work.walk[middle, FRIENDS])
        if middle == user or edges + degree > limits.path_edges:
            continue
        edges += degree
        if not listed[middle]:
            wanted[middle] = True


@compiled()
def mark_walks(
    arrays: CandidateArrays,
    limits: SourceLimits,
    work: WorkBuffers,
    listed: NDArray[np.bool_],
    user: int,
    wanted: NDArray[np.bool_],
) -> None:
    """Marks the rows that personalised PageRank of a user pushes next.

    The walk ends at the first row that is not listed. Those that wait behind it will be pushed whatever comes between,
    up to the limit of edges.
    """
    walk, queue, touched = work.walk, work.queue, work.walked
    ring = len(queue)
    touched[0] = queue[0] = user
    walk[user, RESIDUAL] = walk[user, QUEUED] = np.float32(1.0)
    head, waiting, count, edges, ended = 0, 1, 1, 0, False
    while waiting > 0 and edges < limits.walk_edges:
        row = queue[head]
        head = head + 1 if head + 1 < ring else 0
        waiting -= 1
        walk[row, QUEUED] = np.float32(0.0)
        edges += int(walk[row, FRIENDS])
        if not listed[row]:
            wanted[row] = True
            ended = True
        elif not ended:
            waiting, count = push(
                arrays.indptr, arrays.indices, row, limits.walk_tolerance, walk, queue, head, waiting, touched, count
            )
    settle(walk, touched, count)
    for at in range(count):
        walk[touched[at], RANK] = 0.0


@compiled()
def mark_pools(
    arrays: CandidateArrays,
    limits: SourceLimits,
    work: WorkBuffers,
    users: NDArray[np.int64],
    nearest: NDArray[np.int32],
    wanted: NDArray[np.bool_],
) -> None:
    """Marks in `wanted` (n,) the users and everybody in their pools; `nearest` (u, k) as in fill_pools."""
    for at in range(len(users)):
        user = users[at]
        size, two, three, walked = gather_all(arrays, limits, work, user, nearest[at])
        pool = work.pool[:size]
        wanted[user] = True
        for row in pool:
            wanted[row] = True
        clear(work, pool, two, three, walked)
        unmark_excluded(arrays, work, user)


@compiled()
def tie_hashes(viewers: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int64]:
    """(m,) int64: the hashes of m pairs that break ties."""
    hashes = np.empty(len(viewers), np.int64)
    for at in range(len(viewers)):
        hashes[at] = mixed(viewers[at], others[at])
    return hashes
