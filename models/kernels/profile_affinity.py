"""Computes the log-odds of friendship of one pair from coded profile columns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

MISSING = -1


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
def pair_profile_affinity(tables: ProfileAffinityTables, viewer: int, candidate: int) -> float:
    """Sum of the log-odds over all columns; a missing value adds nothing."""
    total = np.float32(0.0)
    for column in range(tables.codes.shape[1]):
        a, b = tables.codes[viewer, column], tables.codes[candidate, column]
        if a == MISSING or b == MISSING:
            continue
        if tables.matrix_at[column] >= 0:
            total += tables.matrices[tables.matrix_at[column] + a * tables.cardinality[column] + b]
        elif a == b:
            total += tables.same[tables.same_at[column] + a]
        else:
            total += tables.different[column]
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
    for kind in range(len(tables.point_spans) - 1):
        start, end = tables.point_spans[kind], tables.point_spans[kind + 1]
        if has_point(tables.points, viewer, start, end) and has_point(tables.points, candidate, start, end):
            cosine = cosine_of(tables.points, viewer, candidate, start, end)
            total += tables.point_weights[kind, np.searchsorted(tables.point_edges[kind], cosine)]
    return float(total)
