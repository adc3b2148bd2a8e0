"""Fills the candidate pools of many users: gathers from every source, computes pair features, keeps the best."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import EXCLUDED, NOT_SUGGESTIBLE, CandidateArrays, SourceLimits, WorkBuffers
from models.kernels.graph_walks import (
    ALLOCATED,
    FRIENDS,
    LIFTED,
    MUTUAL,
    RANK,
    spread_three_hops,
    spread_two_hops,
    spread_walks,
)
from models.kernels.logarithm import log1p_in_place
from models.kernels.numba_cache import compiled
from models.kernels.prefetch import AHEAD, LINE, prefetch, prefetch_entry
from models.kernels.profile_affinity import viewer_profile_affinity
from models.kernels.selection import keep_best, tie_break
from models.kernels.tower_product import product_at, quantised_query
from models.schema.candidate_sources import Source
from models.schema.pair_features import (
    ALLOCATION,
    ALLOCATION_SCALE,
    COMMON,
    EMBEDDING,
    PAGERANK,
    PAGERANK_SCALE,
    PRODUCT,
    PRODUCT_SCALE,
    PROFILE_AFFINITY,
    THREE_HOPS,
    THREE_HOPS_SCALE,
)

BY_FRIENDS = int(Source.FRIENDS_OF_FRIENDS)
BY_WALK = int(Source.RANDOM_WALK)
BY_PATHS = int(Source.THREE_HOPS)
BY_EMBEDDING = int(Source.EMBEDDING)
BY_GROUP = int(Source.SAME_ATTRIBUTES)
POPULAR = int(Source.POPULAR)
POPULAR_OF_LATE = int(Source.POPULAR_OF_LATE)
PRERANK_LATE = np.float32(1.0)
"""pre-ranking weight of the candidate's ln(1 + friendships of late), if there are dates"""
VECTORS_AHEAD = 4
"""rows whose vectors are asked for before the one that is read: each has several cache lines"""


@compiled()
def mark_excluded(arrays: CandidateArrays, work: WorkBuffers, user: int) -> None:
    """Marks the rows that this user must not be shown: the user, their friends and the known."""
    work.hidden[user] |= np.uint8(EXCLUDED)
    for at in range(arrays.indptr[user], arrays.indptr[user + 1]):
        work.hidden[arrays.indices[at]] |= np.uint8(EXCLUDED)
    for at in range(arrays.known_indptr[user], arrays.known_indptr[user + 1]):
        work.hidden[arrays.known_indices[at]] |= np.uint8(EXCLUDED)


@compiled()
def unmark_excluded(arrays: CandidateArrays, work: WorkBuffers, user: int) -> None:
    """Takes back what `mark_excluded` marked."""
    work.hidden[user] &= np.uint8(NOT_SUGGESTIBLE)
    for at in range(arrays.indptr[user], arrays.indptr[user + 1]):
        work.hidden[arrays.indices[at]] &= np.uint8(NOT_SUGGESTIBLE)
    for at in range(arrays.known_indptr[user], arrays.known_indptr[user + 1]):
        work.hidden[arrays.known_indices[at]] &= np.uint8(NOT_SUGGESTIBLE)


@compiled()
def add(work: WorkBuffers, row: int, bit: int, size: int) -> int:
    """Adds a row to the pool of `size` with a source bit, unless it may not be shown; returns the new size."""
    if work.hidden[row]:
        return size
    if work.bits[row] == 0:
        work.pool[size] = row
        size += 1
    work.bits[row] |= np.uint8(bit)
    return size


@compiled()
def prefetch_reached(work: WorkBuffers, row: int, source: int) -> None:
    """Asks for what `rank_reached` reads of a row, but for its paths: these were just summed, and are near."""
    prefetch_entry(work.hidden, row)
    if source == BY_FRIENDS:
        prefetch(work.near, row, 0)
    else:
        prefetch(work.walk, row, 0)


@compiled()
def rank_reached(work: WorkBuffers, reached: NDArray[np.int32], source: int) -> int:
    """Fills the first of `work.eligible` and `work.ranking` with what a source reached and may be shown; how many."""
    eligible, one, m = 0, np.float32(1), len(reached)
    for at in range(m):
        if at + AHEAD < m:
            prefetch_reached(work, int(reached[at + AHEAD]), source)
        row = reached[at]
        if work.hidden[row]:
            continue
        if source == BY_FRIENDS:
            score = work.near[row, ALLOCATED]
            if work.near[row, MUTUAL] < 2.0:
                score = -1 / score  # below zero, and in the same order
        else:
            mass = work.walk[row, RANK] if source == BY_WALK else work.paths[row]
            score = mass / np.sqrt(max(work.walk[row, FRIENDS], one))
        work.eligible[eligible] = row
        work.ranking[eligible] = score
        eligible += 1
    return eligible


@compiled()
def gather(work: WorkBuffers, user: int, reached: NDArray[np.int32], source: int, limit: int, size: int) -> int:
    """Adds the `limit` best rows that a source reached to the pool of `size`; returns its new size.

    Friends of friends rank by resource allocation, two mutual friends before one. Walks and three-hop paths rank by
    their mass over the square root of the candidate's degree, halfway between the chance to reach the candidate and the
    chance to be reached.
    """
    if limit == 0:
        return size
    eligible = rank_reached(work, reached, source)
    for row in work.eligible[: keep_best(work, user, eligible, limit)]:
        if work.bits[row] == 0:
            work.pool[size] = row
            size += 1
        work.bits[row] |= np.uint8(source)
    return size


@compiled()
def query_of(arrays: CandidateArrays, user: int) -> tuple[NDArray[np.int16], np.float32]:
    """A user's query as models.kernels.tower_product.quantised_query makes it."""
    query = np.empty(arrays.towers.shape[1], np.float32)
    is_appended = len(arrays.appended_query) > 0 and user == len(arrays.indptr) - 2
    for k in range(len(query)):
        if is_appended:
            query[k] = arrays.appended_query[k]
        else:
            query[k] = np.float32(arrays.towers[user, k]) * arrays.tower_scales[k] * arrays.tower_own[k]
    return quantised_query(query, arrays.tower_scales)


@compiled(fastmath=True)
def dot_at(vectors: NDArray[np.float32], one: int, other: int) -> np.float32:
    """The inner product of two rows of (n, d)."""
    total = np.float32(0)
    for k in range(vectors.shape[1]):
        total += vectors[one, k] * vectors[other, k]
    return total


@compiled()
def fill_features(
    arrays: CandidateArrays, work: WorkBuffers, user: int, pool: NDArray[np.int32], out: NDArray[np.float32]
) -> None:
    """Writes the pair features of the user and each row of the pool into `out` (features + 1, len(pool)).

    After the features comes the candidate's ln(1 + friends).
    """
    degree, one = np.float32(max(arrays.indptr[user + 1] - arrays.indptr[user], 1)), np.float32(1)
    query, unit = query_of(arrays, user)
    last, m = len(out) - 1, len(pool)
    # what spread over the graph, and the profiles
    for at in range(m):
        row = pool[at]
        friends = work.walk[row, FRIENDS]
        out[last, at] = friends
        out[COMMON, at] = work.near[row, MUTUAL]
        out[ALLOCATION, at] = np.float32(ALLOCATION_SCALE) * work.near[row, ALLOCATED]
        paths = np.float32(THREE_HOPS_SCALE) * work.paths[row]
        out[THREE_HOPS, at] = paths / np.sqrt(degree * max(friends, one))
        out[PAGERANK, at] = np.float32(PAGERANK_SCALE) * work.walk[row, RANK]
    viewer_profile_affinity(arrays.profile_affinity, user, pool, out[PROFILE_AFFINITY])
    # vectors: asked for some rows ahead, since a row of a large table is in no cache
    wide, narrow = arrays.embeddings.shape[1], arrays.towers.shape[1]
    for at in range(m):
        if at + VECTORS_AHEAD < m:
            for k in range(0, wide, LINE // 4):
                prefetch(arrays.embeddings, int(pool[at + VECTORS_AHEAD]), k)
            for k in range(0, narrow, LINE):
                prefetch(arrays.towers, int(pool[at + VECTORS_AHEAD]), k)
        row = pool[at]
        out[EMBEDDING, at] = dot_at(arrays.embeddings, user, row)
        out[PRODUCT, at] = np.float32(product_at(arrays.towers, row, query)) * unit
    # logarithms
    sizes = np.float32(PRODUCT_SCALE) * np.abs(out[PRODUCT])
    log1p_in_place(sizes)
    for at in range(m):
        out[PRODUCT, at] = sizes[at] if out[PRODUCT, at] >= 0 else -sizes[at]
    for feature in (COMMON, ALLOCATION, THREE_HOPS, PAGERANK, last):
        log1p_in_place(out[feature])


@compiled()
def spread_all(arrays: CandidateArrays, limits: SourceLimits, work: WorkBuffers, user: int) -> tuple[int, int, int]:
    """Spreads from the user over the graph into `work`; returns the rows reached in each of the three ways."""
    indptr, indices = arrays.indptr, arrays.indices
    two = spread_two_hops(indptr, indices, user, work.near, work.two)
    three = spread_three_hops(
        indptr, indices, user, work.two[:two], work.near, limits.path_edges, work.paths, work.three
    )
    walked = spread_walks(
        indptr, indices, user, limits.walk_tolerance, limits.walk_edges, work.walk, work.queue, work.walked
    )
    return two, three, walked


@compiled()
def clear(work: WorkBuffers, pool: NDArray[np.int32], two: int, three: int, walked: int) -> None:
    """Zeroes what `spread_all` and the gathering of `pool` wrote."""
    for row in pool:
        work.bits[row] = 0
    for row in work.two[:two]:
        work.near[row, MUTUAL] = 0.0
        work.near[row, ALLOCATED] = 0.0
        work.near[row, LIFTED] = 0.0
    for row in work.three[:three]:
        work.paths[row] = 0.0
    for row in work.walked[:walked]:
        work.walk[row, RANK] = 0.0


@compiled()
def add_groups(arrays: CandidateArrays, limits: SourceLimits, work: WorkBuffers, user: int, size: int) -> int:
    """Adds the most popular users of the user's rare groups, or of all groups if the user has few friends."""
    few = arrays.indptr[user + 1] - arrays.indptr[user] < limits.few_friends
    for at in range(arrays.value_indptr[user], arrays.value_indptr[user + 1]):
        value = arrays.value_codes[at]
        start, end = arrays.group_indptr[value], arrays.group_indptr[value + 1]
        if few or end - start <= limits.rare_group:
            for place in range(start, min(end, start + limits.group_members)):
                size = add(work, arrays.group_rows[place], BY_GROUP, size)
    return size


@compiled()
def add_likely(arrays: CandidateArrays, limits: SourceLimits, work: WorkBuffers, user: int, size: int) -> int:
    """Adds the popular users with the highest product of the towers, for a user with few friends."""
    if arrays.indptr[user + 1] - arrays.indptr[user] >= limits.few_friends:
        return size
    query, unit = query_of(arrays, user)
    eligible, people, narrow = 0, len(arrays.popular), arrays.towers.shape[1]
    for at in range(people):
        if at + AHEAD < people:
            for k in range(0, narrow, LINE):
                prefetch(arrays.towers, int(arrays.popular[at + AHEAD]), k)
        row = arrays.popular[at]
        if work.hidden[row]:
            continue
        likeness = np.float32(product_at(arrays.towers, row, query)) * unit
        if likeness > 0.0:
            work.eligible[eligible] = row
            work.ranking[eligible] = likeness
            eligible += 1
    for row in work.eligible[: keep_best(work, user, eligible, limits.likely)]:
        size = add(work, row, BY_EMBEDDING, size)
    return size


@compiled()
def best_first(
    arrays: CandidateArrays,
    work: WorkBuffers,
    user: int,
    pool: NDArray[np.int32],
    found: NDArray[np.float32],
    limit: int,
) -> NDArray[np.int64]:
    """The `limit` first of the pool by pre-ranking score, descending; a hash of the two rows breaks ties.

    `found` is what `fill_features` wrote.
    """
    features = len(found) - 1
    scores = arrays.prerank_weights[features] * found[features]
    for feature in range(features):
        scores += arrays.prerank_weights[feature] * found[feature]
    negated = np.empty(len(pool), np.float64)
    for at in range(len(pool)):
        row, score = pool[at], scores[at]
        if len(arrays.late) > 0:
            score += PRERANK_LATE * arrays.late[row]
        # far below the precision of float32 features
        negated[at] = -score + tie_break(work, user, row) * 1e-18
    if len(pool) <= limit:
        return np.argsort(negated)
    last = np.partition(negated, limit - 1)[limit - 1]
    kept = np.flatnonzero(negated <= last)
    return kept[np.argsort(negated[kept])][:limit]


@compiled()
def gather_all(
    arrays: CandidateArrays, limits: SourceLimits, work: WorkBuffers, user: int, nearest: NDArray[np.int32]
) -> tuple[int, int, int, int]:
    """Fills the pool of a user from every source; returns its size and the rows reached in each of the three ways.

    `nearest` (k,) are the rows nearest by embedding, -1 for none. `clear` and `unmark_excluded` take back what this
    leaves in `work`.
    """
    # paths and walks over the graph
    two, three, walked = spread_all(arrays, limits, work, user)
    mark_excluded(arrays, work, user)
    size = gather(work, user, work.two[:two], BY_FRIENDS, limits.friends_of_friends, 0)
    size = gather(work, user, work.walked[:walked], BY_WALK, limits.walks, size)
    size = gather(work, user, work.three[:three], BY_PATHS, limits.three_hops, size)
    # embedding, profile groups, popularity of late and in all
    for row in nearest:
        if row >= 0:
            size = add(work, row, BY_EMBEDDING, size)
    size = add_groups(arrays, limits, work, user, size)
    size = add_likely(arrays, limits, work, user, size)
    for row in arrays.popular_of_late[: limits.popular_of_late]:
        size = add(work, row, POPULAR_OF_LATE, size)
    for row in arrays.popular:
        if size >= limits.least:
            break
        if work.bits[row] == 0:
            size = add(work, row, POPULAR, size)
    return size, two, three, walked


@compiled()
def fill_pools(
    arrays: CandidateArrays,
    limits: SourceLimits,
    work: WorkBuffers,
    users: NDArray[np.int64],
    nearest: NDArray[np.int32],
    first: int,
    stride: int,
    rows: NDArray[np.uint32],
    sources: NDArray[np.uint8],
    values: NDArray[np.float32],
    counts: NDArray[np.int64],
) -> None:
    """Fills the pools of users[first], users[first + stride] and so on, each best first by pre-ranking.

    Releases the GIL, so that threads can each take a `first`, and a `work` of their own. `nearest` (U, k) are the rows
    nearest by embedding, -1 for none. Writes `rows`, `sources` (U, m), `values` (U, features, m) and `counts` (U,),
    candidates of each user; entries past a user's count keep their content. Popular users fill a short pool, and only
    they have the bit POPULAR.
    """
    for at in range(first, len(users), stride):
        user = users[at]
        size, two, three, walked = gather_all(arrays, limits, work, user, nearest[at])
        # features and pre-ranking
        pool, features = work.pool[:size], values.shape[1]
        found = np.empty((features + 1, size), np.float32)
        fill_features(arrays, work, user, pool, found)
        order = best_first(arrays, work, user, pool, found, rows.shape[1])
        # output
        counts[at] = len(order)
        for k in range(len(order)):
            row = pool[order[k]]
            rows[at, k] = row
            sources[at, k] = work.bits[row]
        for feature in range(features):
            for k in range(len(order)):
                values[at, feature, k] = found[feature, order[k]]
        clear(work, pool, two, three, walked)
        unmark_excluded(arrays, work, user)
