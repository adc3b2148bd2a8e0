"""Computes the log-odds of friendship of pairs from coded profile columns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled
from models.kernels.prefetch import AHEAD, LINE, prefetch

MISSING = -1
MOST_WEIGHED = 4_096
"""values of sets up to which the viewer's are looked up in a table of all"""


class ProfileAffinityTables(NamedTuple):
    """Coded profiles of n users and the log-odds of comparing them; built by models.features.profile_affinity.

    codes         (n, C) int32, -1 missing: columns of one value (numbers and timestamps as quantiles)
    cardinality   (C,) int64
    matrix_at     (C,) int64, offset of the column's (cardinality x cardinality) cells in `matrices`, or -1
    matrices      float32
    same_at       (C,) int64, offset of the weights of equal values in `same`, for columns without a matrix
    same          float32
    different     (C,) float32, weight of two different values, for columns without a matrix
    set_indptr    (n + 1,) int64, set_codes int32 ascending: values of all columns that hold sets
    set_weights   float32 by code
    points        (n, P) float32, unit vectors of each text or location column side by side; zeros are missing
    point_spans   (K + 1,) int64, the columns of `points` of each of the K
    point_edges   (K, bins - 1) float32 ascending edges of cosine
    point_weights (K, bins) float32
    """

    codes: NDArray[np.int32]
    cardinality: NDArray[np.int64]
    matrix_at: NDArray[np.int64]
    matrices: NDArray[np.float32]
    same_at: NDArray[np.int64]
    same: NDArray[np.float32]
    different: NDArray[np.float32]
    set_indptr: NDArray[np.int64]
    set_codes: NDArray[np.int32]
    set_weights: NDArray[np.float32]
    points: NDArray[np.float32]
    point_spans: NDArray[np.int64]
    point_edges: NDArray[np.float32]
    point_weights: NDArray[np.float32]


@compiled()
def has_point(points: NDArray[np.float32], row: int, start: int, end: int) -> bool:
    """Whether a user has a text or location: its vector is not zero."""
    at = start
    while at < end and points[row, at] == 0.0:
        at += 1
    return bool(at < end)


@compiled(fastmath=True)
def cosine_of(points: NDArray[np.float32], one: int, other: int, start: int, end: int) -> np.float32:
    """The inner product of two users' unit vectors, in the columns from `start` to before `end`."""
    cosine = np.float32(0.0)
    for at in range(start, end):
        cosine += points[one, at] * points[other, at]
    return cosine


@compiled()
def viewer_profile_affinity(
    tables: ProfileAffinityTables, viewer: int, pool: NDArray[np.int32], out: NDArray[np.float32]
) -> None:
    """Writes the sum of the log-odds over all columns, of a viewer and each row of `pool` (m,), into `out` (m,).

    A missing value adds nothing.
    """
    out[:] = 0.0
    add_columns(tables, viewer, pool, out)
    add_sets(tables, viewer, pool, out)
    for kind in range(len(tables.point_spans) - 1):
        add_points(tables, kind, viewer, pool, out)


@compiled()
def add_columns(tables: ProfileAffinityTables, viewer: int, pool: NDArray[np.int32], out: NDArray[np.float32]) -> None:
    """Adds to `out` what the columns of one value say."""
    own, columns = tables.codes[viewer], tables.codes.shape[1]
    if columns == 0:
        return
    matrix_rows, same = np.empty(columns, np.int64), np.zeros(columns, np.float32)
    for column in range(columns):
        matrix_rows[column] = tables.matrix_at[column] + own[column] * tables.cardinality[column]
        if own[column] != MISSING and tables.matrix_at[column] < 0:
            same[column] = tables.same[tables.same_at[column] + own[column]]
    for at in range(len(pool)):
        if at + AHEAD < len(pool):
            prefetch(tables.codes, int(pool[at + AHEAD]), 0)
        total = np.float32(0.0)
        for column in range(columns):
            if own[column] == MISSING:
                continue
            b = tables.codes[pool[at], column]  # chooses a weight, never a way: no processor could foresee it
            if tables.matrix_at[column] >= 0:
                weight = tables.matrices[matrix_rows[column] + max(b, 0)]
            else:
                weight = same[column] if b == own[column] else tables.different[column]
            total += weight if b != MISSING else np.float32(0.0)
        out[at] += total


@compiled()
def add_sets(tables: ProfileAffinityTables, viewer: int, pool: NDArray[np.int32], out: NDArray[np.float32]) -> None:
    """Adds to `out` the weights of the values that the sets of both hold."""
    start, end = tables.set_indptr[viewer], tables.set_indptr[viewer + 1]
    if start == end:
        return
    if len(tables.set_weights) > MOST_WEIGHED:
        for at in range(len(pool)):
            out[at] += shared_set_weight(tables, viewer, pool[at])
        return
    own = np.zeros(len(tables.set_weights), np.float32)
    for code in tables.set_codes[start:end]:
        own[code] = tables.set_weights[code]
    for at in range(len(pool)):
        row, total = pool[at], np.float32(0.0)
        for place in range(tables.set_indptr[row], tables.set_indptr[row + 1]):
            total += own[tables.set_codes[place]]
        out[at] += total


@compiled()
def shared_set_weight(tables: ProfileAffinityTables, viewer: int, candidate: int) -> np.float32:
    """The sum of the weights of the values that both users' sets hold."""
    total = np.float32(0.0)
    i, j = tables.set_indptr[viewer], tables.set_indptr[candidate]
    i_end, j_end = tables.set_indptr[viewer + 1], tables.set_indptr[candidate + 1]
    while i < i_end and j < j_end:
        a, b = tables.set_codes[i], tables.set_codes[j]
        if a == b:
            total += tables.set_weights[a]
        if a <= b:
            i += 1
        if b <= a:
            j += 1
    return total


@compiled()
def add_points(
    tables: ProfileAffinityTables, kind: int, viewer: int, pool: NDArray[np.int32], out: NDArray[np.float32]
) -> None:
    """Adds to `out` what the cosine of one text or location column says, where both have one."""
    start, end = tables.point_spans[kind], tables.point_spans[kind + 1]
    if not has_point(tables.points, viewer, start, end):
        return
    edges, weights = tables.point_edges[kind], tables.point_weights[kind]
    for at in range(len(pool)):
        if at + AHEAD < len(pool):
            for k in range(start, end, LINE // 4):
                prefetch(tables.points, int(pool[at + AHEAD]), k)
        if has_point(tables.points, pool[at], start, end):
            cosine, below = cosine_of(tables.points, viewer, pool[at], start, end), 0
            for edge in edges:
                below += edge < cosine
            out[at] += weights[below]
