"""The candidate pools of many users: gather by every source, compute the pair features, keep the best."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import (
    Reach,
    Scratch,
    World,
    clear_scratch,
)
from models.kernels.graph_walks import spread_three_hops, spread_two_hops, spread_walks
from models.kernels.numba_cache import compiled
from models.kernels.profile_affinity import pair_affinity
from models.schema.candidate_sources import Source
from models.schema.pair_features import (
    AFFINITY,
    ALLOCATION,
    ALLOCATION_SCALE,
    COMMON,
    EMBEDDING,
    PAGERANK,
    PAGERANK_SCALE,
    SMOOTH,
    SMOOTH_SCALE,
    SPECTRAL,
    SPECTRAL_SCALE,
    THREE_HOPS,
    THREE_HOPS_SCALE,
)

BY_FRIENDS = int(Source.FRIENDS_OF_FRIENDS)
BY_WALK = int(Source.RANDOM_WALK)
BY_PATHS = int(Source.THREE_HOPS)
BY_EMBEDDING = int(Source.EMBEDDING)
BY_GROUP = int(Source.SAME_ATTRIBUTES)
POPULAR = int(Source.POPULAR)


@compiled()
def bar(world: World, scratch: Scratch, user: int, barred: bool) -> None:
    """Mark, or unmark, whom this user must not be shown: herself, her friends and the known."""
    scratch.barred[user] = barred
    for at in range(world.indptr[user], world.indptr[user + 1]):
        scratch.barred[world.indices[at]] = barred
    for at in range(world.known_indptr[user], world.known_indptr[user + 1]):
        scratch.barred[world.known_indices[at]] = barred


@compiled()
def add(world: World, scratch: Scratch, row: int, bit: int, size: int) -> int:
    """Add a row that another source found to the pool of `size`, unless it may not be shown; returns the new size."""
    if scratch.barred[row] or not world.suggestible[row]:
        return size
    if scratch.bits[row] == 0:
        scratch.pool[size] = row
        size += 1
    scratch.bits[row] |= np.uint8(bit)
    return size


@compiled()
def mixed(a: int, b: int) -> int:
    """A hash of two rows, for ties, 0 to 2^31 - 1."""
    mask = np.uint64(0xFFFFFFFFFFFFFFFF)
    x = (np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) + np.uint64(1)) & mask
    x = ((x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)) & mask
    x = ((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)) & mask
    return int((x ^ (x >> np.uint64(31))) >> np.uint64(33))


@compiled()
def keep_best(scratch: Scratch, user: int, eligible: int, limit: int) -> int:
    """Move the `limit` best of the first `eligible` rows to the front of `scratch.eligible`; returns how many they are.

    Of equal rankings those with the lowest hash stay.
    """
    if eligible <= limit:
        return eligible
    if limit == 0:
        return 0
    least = np.partition(scratch.ranking[:eligible], eligible - limit)[eligible - limit]
    tied = np.flatnonzero(scratch.ranking[:eligible] == least)
    hashes = np.empty(len(tied), np.int64)
    for at in range(len(tied)):
        hashes[at] = mixed(user, scratch.eligible[tied[at]])
    tied = tied[np.argsort(hashes)]
    above = 0
    for at in range(eligible):
        above += scratch.ranking[at] > least
    for at in tied[: limit - above]:
        scratch.ranking[at] = np.inf
    kept = 0
    for at in range(eligible):
        if scratch.ranking[at] > least:
            scratch.eligible[kept] = scratch.eligible[at]
            kept += 1
    return kept


@compiled()
def gather(
    world: World, scratch: Scratch, user: int, reached: NDArray[np.int32], source: int, limit: int, size: int
) -> int:
    """Add the `limit` best rows that a source reached to the pool of `size`; returns its new size.

    Friends of friends rank by resource allocation, two mutual friends before one; walks and three-hop paths by their
    mass over the square root of the candidate's degree, halfway between reaching her and being reached by her.
    """
    eligible = 0
    for row in reached:
        if scratch.barred[row] or not world.suggestible[row]:
            continue
        root = np.sqrt(np.float32(max(world.indptr[row + 1] - world.indptr[row], 1)))
        if source == BY_FRIENDS:
            score = scratch.allocation[row]
            if scratch.common[row] < 2.0:
                score = -1 / score  # below zero, and in the same order
        elif source == BY_WALK:
            score = scratch.pagerank[row] / root
        else:
            score = scratch.paths[row] / root
        scratch.eligible[eligible] = row
        scratch.ranking[eligible] = score
        eligible += 1
    for row in scratch.eligible[: keep_best(scratch, user, eligible, limit)]:
        if scratch.bits[row] == 0:
            scratch.pool[size] = row
            size += 1
        scratch.bits[row] |= np.uint8(source)
    return size


@compiled(fastmath=True)
def low_rank(
    sharp: NDArray[np.float32], smoothed: NDArray[np.float32], other: NDArray[np.float32]
) -> tuple[np.float32, np.float32]:
    """Inner products of two vectors (k,) of one person with those of another."""
    first, second = np.float32(0.0), np.float32(0.0)
    for k in range(len(other)):
        first += sharp[k] * other[k]
        second += smoothed[k] * other[k]
    return first, second


@compiled()
def fill_features(world: World, scratch: Scratch, user: int, pool: NDArray[np.int32], out: NDArray[np.float32]) -> None:
    """The kept pair features of the user and each row of the pool, into `out` (features, len(pool))."""
    degree = np.float32(max(world.indptr[user + 1] - world.indptr[user], 1))
    smoothed = world.spectral[user] * world.smoothing
    for at in range(len(pool)):
        row = pool[at]
        other = np.float32(max(world.indptr[row + 1] - world.indptr[row], 1))
        out[COMMON, at] = np.log1p(scratch.common[row])
        out[ALLOCATION, at] = np.log1p(np.float32(ALLOCATION_SCALE) * scratch.allocation[row])
        out[THREE_HOPS, at] = np.log1p(np.float32(THREE_HOPS_SCALE) * scratch.paths[row] / np.sqrt(degree * other))
        out[PAGERANK, at] = np.log1p(np.float32(PAGERANK_SCALE) * scratch.pagerank[row])
        spectral, smooth = low_rank(world.spectral[user], smoothed, world.spectral[row])
        out[SPECTRAL, at] = np.sign(spectral) * np.log1p(np.float32(SPECTRAL_SCALE) * np.abs(spectral))
        out[SMOOTH, at] = np.sign(smooth) * np.log1p(np.float32(SMOOTH_SCALE) * np.abs(smooth))
        embedding = np.float32(0.0)
        for k in range(world.embeddings.shape[1]):
            embedding += world.embeddings[user, k] * world.embeddings[row, k]
        out[EMBEDDING, at] = embedding
        out[AFFINITY, at] = pair_affinity(world.affinity, user, row)


@compiled()
def spread_all(world: World, reach: Reach, scratch: Scratch, user: int) -> tuple[int, int, int]:
    """Fill the scratch with what spreads from the user; returns how many rows each of the three ways reached."""
    two = spread_two_hops(
        world.indptr,
        world.indices,
        user,
        scratch.common,
        scratch.allocation,
        scratch.lift,
        scratch.two,
    )
    three = spread_three_hops(
        world.indptr,
        world.indices,
        user,
        scratch.two[:two],
        scratch.lift,
        reach.path_edges,
        scratch.paths,
        scratch.three,
    )
    walked = spread_walks(
        world.indptr,
        world.indices,
        user,
        reach.walk_tolerance,
        reach.walk_edges,
        scratch.pagerank,
        scratch.residual,
        scratch.queue,
        scratch.queued,
        scratch.walked,
    )
    return two, three, walked


@compiled()
def clear(scratch: Scratch, pool: NDArray[np.int32], two: int, three: int, walked: int) -> None:
    """Undo what `spread_all` and the gathering of `pool` wrote."""
    for row in pool:
        scratch.bits[row] = 0
    for row in scratch.two[:two]:
        scratch.common[row] = 0.0
        scratch.allocation[row] = 0.0
        scratch.lift[row] = 0.0
    for row in scratch.three[:three]:
        scratch.paths[row] = 0.0
    for row in scratch.walked[:walked]:
        scratch.pagerank[row] = 0.0


@compiled()
def add_groups(world: World, reach: Reach, scratch: Scratch, user: int, size: int) -> int:
    """Add the best connected of the user's rare groups, of all her groups where she has few friends."""
    few = world.indptr[user + 1] - world.indptr[user] < reach.few_friends
    for at in range(world.value_indptr[user], world.value_indptr[user + 1]):
        value = world.value_codes[at]
        start, end = world.group_indptr[value], world.group_indptr[value + 1]
        if few or end - start <= reach.rare_group:
            for member in range(start, min(end, start + reach.group_members)):
                size = add(world, scratch, world.group_rows[member], BY_GROUP, size)
    return size


@compiled()
def add_likely(world: World, reach: Reach, scratch: Scratch, user: int, size: int) -> int:
    """Add the nearest in the spectrum of the best connected people, for a user with few friends."""
    if world.indptr[user + 1] - world.indptr[user] >= reach.few_friends:
        return size
    own = world.spectral[user]
    eligible = 0
    for row in world.popular:
        if scratch.barred[row] or not world.suggestible[row]:
            continue
        likeness = low_rank(own, own, world.spectral[row])[0]
        if likeness > 0.0:
            scratch.eligible[eligible] = row
            scratch.ranking[eligible] = likeness
            eligible += 1
    for row in scratch.eligible[: keep_best(scratch, user, eligible, reach.likely)]:
        size = add(world, scratch, row, BY_EMBEDDING, size)
    return size


@compiled()
def best_first(world: World, user: int, pool: NDArray[np.int32], found: NDArray[np.float32]) -> NDArray[np.int64]:
    """The order of the pool by the cheap score, falling; equal scores stand by a hash of the two rows."""
    features = len(found)
    cheap = np.empty(len(pool), np.float64)
    for at in range(len(pool)):
        row = pool[at]
        score = world.cheap[features] * np.log1p(np.float32(world.indptr[row + 1] - world.indptr[row]))
        for feature in range(features):
            score += world.cheap[feature] * found[feature, at]
        # far below what two float32 features can tell apart
        cheap[at] = -score + mixed(user, row) * 1e-18
    return np.argsort(cheap)


@compiled()
def fill_pools(
    world: World,
    reach: Reach,
    users: NDArray[np.int64],
    nearest: NDArray[np.int32],
    first: int,
    stride: int,
    rows: NDArray[np.uint32],
    sources: NDArray[np.uint8],
    values: NDArray[np.float32],
    counts: NDArray[np.int64],
) -> None:
    """Fill the pools of users[first], users[first + stride] and so on, each best first by the cheap score.

    Holds no lock, so that as many threads as wanted take a `first` each. `nearest` (U, k) are the rows nearest by
    embedding, -1 for none. `rows`, `sources` (U, m), `values` (U, features, m) and
    `counts` (U,), how many each user got, are filled; what is past a user's count is left as it was. Popular people are
    added to who was found otherwise, and their bit stands for nobody else.
    """
    scratch = clear_scratch(len(world.indptr) - 1)
    for at in range(first, len(users), stride):
        user = users[at]
        two, three, walked = spread_all(world, reach, scratch, user)
        bar(world, scratch, user, True)
        size = gather(world, scratch, user, scratch.two[:two], BY_FRIENDS, reach.friends_of_friends, 0)
        size = gather(world, scratch, user, scratch.walked[:walked], BY_WALK, reach.walks, size)
        size = gather(world, scratch, user, scratch.three[:three], BY_PATHS, reach.three_hops, size)
        for row in nearest[at]:
            if row >= 0:
                size = add(world, scratch, row, BY_EMBEDDING, size)
        size = add_groups(world, reach, scratch, user, size)
        size = add_likely(world, reach, scratch, user, size)
        for row in world.popular:
            if size >= reach.least:
                break
            if scratch.bits[row] == 0:
                size = add(world, scratch, row, POPULAR, size)
        pool = scratch.pool[:size]
        found = np.empty((values.shape[1], size), np.float32)
        fill_features(world, scratch, user, pool, found)
        order = best_first(world, user, pool, found)
        counts[at] = min(size, rows.shape[1])
        for k in range(counts[at]):
            row = pool[order[k]]
            rows[at, k] = row
            sources[at, k] = scratch.bits[row]
            values[at, :, k] = found[:, order[k]]
        clear(scratch, pool, two, three, walked)
        bar(world, scratch, user, False)
