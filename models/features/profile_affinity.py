"""Fits the log-odds of friendship given two profiles, column by column.

Each column adds ln(P(values | friends) / P(values | strangers)), after Fellegi and Sunter's record linkage (1969).
Strangers are pairs drawn in proportion to their degrees, so that a popular value is no evidence by itself. Columns add
up as in naive Bayes. Rare pairs of values shrink towards the column's log-odds of equal or different values.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.profile_affinity import MISSING, ProfileAffinityTables

MATRIX_UP_TO = 48
"""columns with at most this many values get a weight for every pair of values"""
SHRINKAGE = 20.0
"""expected friendships that the column's own log-odds count for"""
LARGEST = 6.0
"""log-odds are clipped at this, either way"""
PAIRS_AT_ONCE = 1 << 18
"""friendships whose sets or points are held at once"""
POINT_EDGES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.99, 0.999, 0.9999, 0.99999], dtype=np.float32)


@dataclass(frozen=True)
class CodedProfiles:
    """Profiles of n users, coded for comparison; ProfileAffinityTables has the shapes."""

    codes: NDArray[np.int32]
    cardinality: NDArray[np.int64]
    is_compared: NDArray[np.bool_]
    """(C,) which columns of codes are compared; the others only form groups"""
    set_indptr: NDArray[np.int64]
    set_codes: NDArray[np.int32]
    set_size: int
    points: NDArray[np.float32]
    point_spans: NDArray[np.int64]

    @property
    def has_values(self) -> bool:
        """Whether any user has a value that forms a group: a value, a number, a location."""
        return bool(len(self.set_codes)) or bool((self.codes != MISSING).any())


def fit_profile_affinity(coded: CodedProfiles, graph: Graph) -> ProfileAffinityTables:
    """The tables with weights fitted to the friendships of `graph`, on the same n rows as `coded`."""
    # columns of codes: weights of pairs of values, or of equal values if there are many
    a, b = graph.pairs()
    degrees = graph.degrees.astype(np.float64)
    columns = coded.codes.shape[1]
    matrix_at, same_at = np.full(columns, -1, np.int64), np.zeros(columns, np.int64)
    matrices: list[NDArray[np.float32]] = []
    same: list[NDArray[np.float32]] = []
    different = np.zeros(columns, np.float32)
    for column in range(columns):
        size = int(coded.cardinality[column])
        codes = coded.codes[:, column]
        if not coded.is_compared[column]:
            same_at[column] = sum(len(one) for one in same)
            same.append(np.zeros(size, np.float32))
        elif size <= MATRIX_UP_TO:
            matrix_at[column] = sum(len(one) for one in matrices)
            matrices.append(_matrix_log_odds(codes, size, a, b, degrees))
        else:
            same_at[column] = sum(len(one) for one in same)
            log_odds, different[column] = _equality_log_odds(codes, size, a, b, degrees)
            same.append(log_odds)
    # columns of points: weights of bins of cosine
    spans = len(coded.point_spans) - 1
    edges = np.tile(POINT_EDGES, (spans, 1)).astype(np.float32)
    point_weights = np.zeros((spans, len(POINT_EDGES) + 1), np.float32)
    for kind in range(spans):
        span = coded.points[:, coded.point_spans[kind] : coded.point_spans[kind + 1]]
        point_weights[kind] = _point_log_odds(span, edges[kind], a, b, degrees)
    return ProfileAffinityTables(
        codes=np.ascontiguousarray(coded.codes),
        cardinality=coded.cardinality,
        matrix_at=matrix_at,
        matrices=np.concatenate([*matrices, np.zeros(0, np.float32)]),
        same_at=same_at,
        same=np.concatenate([*same, np.zeros(0, np.float32)]),
        different=different,
        set_indptr=coded.set_indptr,
        set_codes=coded.set_codes,
        set_weights=_set_log_odds(coded, a, b, degrees),
        points=np.ascontiguousarray(coded.points, dtype=np.float32),
        point_spans=coded.point_spans,
        point_edges=edges,
        point_weights=point_weights,
    )


def _log_odds(
    observed: NDArray[np.float64], expected: NDArray[np.float64], prior: NDArray[np.float64] | float
) -> NDArray[np.float32]:
    """ln(observed / expected), shrunk towards the ratio `prior` by SHRINKAGE friendships."""
    ratio = (observed + SHRINKAGE * np.asarray(prior)) / (expected + SHRINKAGE)
    return np.clip(np.log(np.maximum(ratio, 1e-9)), -LARGEST, LARGEST).astype(np.float32)


def _matrix_log_odds(
    codes: NDArray[np.int32], size: int, a: NDArray[np.int32], b: NDArray[np.int32], degrees: NDArray[np.float64]
) -> NDArray[np.float32]:
    """A (size x size) matrix of log-odds, flattened."""
    known = (codes[a] != MISSING) & (codes[b] != MISSING)
    x, y = codes[a[known]].astype(np.int64), codes[b[known]].astype(np.int64)
    observed = np.bincount(np.concatenate([x * size + y, y * size + x]), minlength=size * size).astype(np.float64)
    expected = _expected_cells(codes, size, degrees, observed.sum())
    equal = np.eye(size, dtype=bool).ravel()
    prior = np.where(equal, _ratio(observed[equal], expected[equal]), _ratio(observed[~equal], expected[~equal]))
    return _log_odds(observed, expected, prior)


def _equality_log_odds(
    codes: NDArray[np.int32], size: int, a: NDArray[np.int32], b: NDArray[np.int32], degrees: NDArray[np.float64]
) -> tuple[NDArray[np.float32], np.float32]:
    """The log-odds of each value if shared, (size,), and those of different values."""
    known = (codes[a] != MISSING) & (codes[b] != MISSING)
    x, y = codes[a[known]], codes[b[known]]
    observed = np.bincount(x[x == y], minlength=size).astype(np.float64) * 2
    mass = np.bincount(codes[codes != MISSING], weights=degrees[codes != MISSING], minlength=size)
    total = 2.0 * len(x)
    share = mass / max(mass.sum(), 1.0)
    expected = np.asarray(total * share**2, dtype=np.float64)
    log_odds = _log_odds(observed, expected, _ratio(observed, expected))
    differing = np.array([total - observed.sum()])
    return log_odds, np.float32(_log_odds(differing, np.array([total - expected.sum()]), 1.0)[0])


def _expected_cells(
    codes: NDArray[np.int32], size: int, degrees: NDArray[np.float64], total: float
) -> NDArray[np.float64]:
    known = codes != MISSING
    mass = np.bincount(codes[known], weights=degrees[known], minlength=size)
    share = mass / max(mass.sum(), 1.0)
    return np.asarray(total * np.outer(share, share).ravel())


def _ratio(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    return float((observed.sum() + 1.0) / (expected.sum() + 1.0))


def _set_log_odds(
    coded: CodedProfiles, a: NDArray[np.int32], b: NDArray[np.int32], degrees: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The log-odds of each set value if shared; values not shared add nothing."""
    if coded.set_size == 0:
        return np.zeros(0, np.float32)
    n = len(coded.set_indptr) - 1
    owner = np.repeat(np.arange(n), np.diff(coded.set_indptr))
    has = Graph.from_directed(n + coded.set_size, owner, coded.set_codes.astype(np.int64) + n)
    observed = np.zeros(coded.set_size)
    sizes = np.diff(coded.set_indptr)
    for start in range(0, len(a), PAIRS_AT_ONCE):
        first, second = a[start : start + PAIRS_AT_ONCE], b[start : start + PAIRS_AT_ONCE]
        counts = sizes[first]
        pair = np.repeat(np.arange(len(first)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        values = coded.set_codes[coded.set_indptr[first][pair] + within]
        shared = values[has.contains(second[pair], values.astype(np.int64) + n)]
        observed += np.bincount(shared, minlength=coded.set_size)
    mass = np.bincount(coded.set_codes, weights=degrees[owner], minlength=coded.set_size)
    expected = len(a) * (mass / max(degrees.sum(), 1.0)) ** 2
    return _log_odds(observed, expected, _ratio(observed, expected))


def _point_log_odds(
    points: NDArray[np.float32],
    edges: NDArray[np.float32],
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    degrees: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The log-odds of each bin of cosine; strangers are up to 200,000 distinct pairs drawn by degree."""
    known = np.abs(points).sum(axis=1) > 0
    bins = len(edges) + 1
    weight = degrees * known
    if weight.sum() == 0:
        return np.zeros(bins, np.float32)
    drawn = np.random.default_rng(0).choice(len(points), size=(2, 200_000), p=weight / weight.sum())
    both, distinct = known[a] & known[b], drawn[0] != drawn[1]
    observed = _histogram(points, edges, a[both], b[both])
    strangers = _histogram(points, edges, drawn[0, distinct], drawn[1, distinct])
    expected = strangers * observed.sum() / max(strangers.sum(), 1.0)
    return _log_odds(observed, expected, 1.0)


def _histogram(
    points: NDArray[np.float32], edges: NDArray[np.float32], x: NDArray[np.integer], y: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Counts of the pairs (x, y) by bin of their cosine; holds PAIRS_AT_ONCE pairs of points."""
    counts = np.zeros(len(edges) + 1)
    for start in range(0, len(x), PAIRS_AT_ONCE):
        first, second = x[start : start + PAIRS_AT_ONCE], y[start : start + PAIRS_AT_ONCE]
        cosine = np.einsum("ij,ij->i", points[first], points[second])
        counts += np.bincount(np.searchsorted(edges, cosine), minlength=len(counts))
    return counts
