"""Inputs of the candidate kernel, limits of its sources, and the working arrays of a thread."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.graph_walks import FRIENDS, NEAR_COLUMNS, WALK_COLUMNS
from models.kernels.numba_cache import compiled
from models.kernels.profile_affinity import ProfileAffinityTables


class CandidateArrays(NamedTuple):
    """Arrays that the kernel reads, of n users.

    indptr, indices               friendships
    known_indptr, known_indices   directed: users who must not be shown to a user
    suggestible                   (n,) bool, who may be shown at all
    towers                        (n, d) int8 codes of the candidates' vectors (models.version.towers)
    tower_scales, tower_own       (d,) float32 weights of the same
    appended_query                (d,) float32, query of the last row, who is outside the graph; (0,) if nobody is
    embeddings                    (n, d) float32, rows of length one or zero
    profile_affinity              coded profiles and their weights
    value_indptr, value_codes     by user, the profile values that form groups
    group_indptr, group_rows      by value, the users who share it, most popular first
    popular                       most popular rows, for users with few friends
    late                          (n,) float32, ln(1 + friendships of late); empty without dates
    popular_of_late               the rows with the most friendships of late, for everybody; empty without dates
    prerank_weights               (features + 1,) float32: of each kept feature, and of the candidate's ln(1 + friends)
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    known_indptr: NDArray[np.int64]
    known_indices: NDArray[np.int32]
    suggestible: NDArray[np.bool_]
    towers: NDArray[np.int8]
    tower_scales: NDArray[np.float32]
    tower_own: NDArray[np.float32]
    appended_query: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    profile_affinity: ProfileAffinityTables
    value_indptr: NDArray[np.int64]
    value_codes: NDArray[np.int32]
    group_indptr: NDArray[np.int64]
    group_rows: NDArray[np.int32]
    popular: NDArray[np.int32]
    late: NDArray[np.float32]
    popular_of_late: NDArray[np.int32]
    prerank_weights: NDArray[np.float32]


class SourceLimits(NamedTuple):
    """Limits of the sources for one user; models.candidates.config.CandidateConfig documents each."""

    friends_of_friends: int
    walks: int
    three_hops: int
    walk_tolerance: float
    walk_edges: int
    path_edges: int
    rare_group: int
    group_members: int
    few_friends: int
    likely: int
    least: int
    popular_of_late: int


class WorkBuffers(NamedTuple):
    """Working arrays of one thread, zeroed between users.

    near      (n, NEAR_COLUMNS) and `walk` (n, WALK_COLUMNS) of models.kernels.graph_walks; `walk` holds the degrees
    paths     (n,) three-hop paths
    hidden    (n,) uint8: NOT_SUGGESTIBLE, and EXCLUDED for the user at work
    bits      (n,) source bits of the pool's rows
    numbers   (n,) int32, the numbers of the rows in the whole graph, if these are a part of it; else (0,)
    queue, two, three, walked  (n + 1,) rows: kernels write one place further than they keep
    the others  (n,) rows and scores, not zeroed
    """

    near: NDArray[np.float32]
    walk: NDArray[np.float32]
    paths: NDArray[np.float32]
    hidden: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    queue: NDArray[np.int32]
    two: NDArray[np.int32]
    three: NDArray[np.int32]
    walked: NDArray[np.int32]
    eligible: NDArray[np.int32]
    ranking: NDArray[np.float32]
    pool: NDArray[np.int32]
    numbers: NDArray[np.int32]


NOT_SUGGESTIBLE = 1
EXCLUDED = 2


@compiled()
def new_work_buffers(indptr: NDArray[np.int64], suggestible: NDArray[np.bool_]) -> WorkBuffers:
    """The working arrays for a graph of n users, of whom these may be shown."""
    n = len(indptr) - 1
    walk = np.zeros((n, WALK_COLUMNS), np.float32)
    hidden = np.zeros(n, np.uint8)
    for row in range(n):
        walk[row, FRIENDS] = np.float32(indptr[row + 1] - indptr[row])
        if not suggestible[row]:
            hidden[row] = NOT_SUGGESTIBLE
    return WorkBuffers(
        np.zeros((n, NEAR_COLUMNS), np.float32),
        walk,
        np.zeros(n, np.float32),
        hidden,
        np.zeros(n, np.uint8),
        np.empty(n + 1, np.int32),
        np.empty(n + 1, np.int32),
        np.empty(n + 1, np.int32),
        np.empty(n + 1, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.float32),
        np.empty(n, np.int32),
        np.empty(0, np.int32),
    )
