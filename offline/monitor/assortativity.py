"""How much more alike friends are than chance, by one profile column: its meaning, as friendships see it."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
)

MOST_PAIRS = 200_000
"""friendships that are read, at most"""
MOST_SETS = 20_000
"""the same where sets or texts are compared"""
LEAST_PAIRS = 100
"""fewest friendships of two people with a value that tell anything"""
EARTH_KM = 6371.0

Rows = NDArray[np.int32]
Found = tuple[float, float]
"""a coefficient and its standard error"""


def assortativity(column: Column, a: Rows, b: Rows, seed: int = 0) -> Found | None:
    """The coefficient over the friendships (a, b), each (m,), and its standard error; None if too few tell.

    Of categories Newman's coefficient (Mixing patterns in networks, 2003): (same - expected) / (1 - expected), of
    numbers and timestamps the rank correlation over friendships, of sets and texts the first with "have something in
    common", of locations the share by which friends live nearer to each other than chance.
    """
    random = np.random.default_rng(seed)
    most = MOST_SETS if isinstance(column, MultiColumn | TextColumn) else MOST_PAIRS
    if len(a) > most:
        drawn = random.choice(len(a), most, replace=False)
        a, b = a[drawn], b[drawn]
    match column:
        case CategoricalColumn(codes=codes):
            return _of_categories(codes, a, b)
        case NumericColumn(numbers=numbers) | TimestampColumn(seconds=numbers):
            return _of_numbers(numbers, a, b)
        case MultiColumn(indptr=indptr, codes=codes):
            sets: Sequence[frozenset[object]] = [
                frozenset(codes[start:end].tolist()) for start, end in pairwise(indptr.tolist())
            ]
            return _of_sets(sets, a, b, random)
        case TextColumn(texts=texts):
            return _of_sets([frozenset((text or "").casefold().split()) for text in texts], a, b, random)
        case LocationColumn(degrees=degrees):
            return _of_places(degrees, a, b, random)


def _of_categories(codes: NDArray[np.int32], a: Rows, b: Rows) -> Found | None:
    one, other = codes[a], codes[b]
    known = (one >= 0) & (other >= 0)
    one, other = one[known], other[known]
    if len(one) < LEAST_PAIRS:
        return None
    ends = np.bincount(np.concatenate([one, other]))
    expected = float(((ends / ends.sum()) ** 2).sum())
    same = float((one == other).mean())
    return _beyond(same, expected, len(one))


def _beyond(same: float, expected: float, pairs: int) -> Found | None:
    """The coefficient of a share, given that expected by chance; None if everybody is alike."""
    if expected > 1 - 1e-9:
        return None
    return (same - expected) / (1 - expected), sqrt(max(same * (1 - same), 1 / pairs) / pairs) / (1 - expected)


def _of_numbers(numbers: NDArray[np.float64], a: Rows, b: Rows) -> Found | None:
    one, other = numbers[a], numbers[b]
    known = ~(np.isnan(one) | np.isnan(other))
    m = int(known.sum())
    if m < LEAST_PAIRS:
        return None
    both = np.concatenate([one[known], other[known]])
    ranks = rankdata(both)
    if ranks.std() == 0:
        return None
    first, second = ranks, np.concatenate([ranks[m:], ranks[:m]])
    r = float(np.corrcoef(first, second)[0, 1])
    return r, (1 - r * r) / sqrt(m) + 1e-9


def _of_sets(sets: Sequence[frozenset[object]], a: Rows, b: Rows, random: np.random.Generator) -> Found | None:
    known = np.array([bool(one) for one in sets], bool)
    kept = known[a] & known[b]
    a, b = a[kept], b[kept]
    if len(a) < LEAST_PAIRS:
        return None

    def alike(first: Rows, second: Rows) -> float:
        return sum(not sets[x].isdisjoint(sets[y]) for x, y in zip(first.tolist(), second.tolist(), strict=True)) / len(
            a
        )

    return _beyond(alike(a, b), alike(a, random.permutation(b)), len(a))


def _of_places(degrees: NDArray[np.float32], a: Rows, b: Rows, random: np.random.Generator) -> Found | None:
    known = ~np.isnan(degrees[:, 0])
    kept = known[a] & known[b]
    a, b = a[kept], b[kept]
    if len(a) < LEAST_PAIRS:
        return None
    near, far = _distances(degrees, a, b), _distances(degrees, a, random.permutation(b))
    mean = float(far.mean())
    if mean <= 0:
        return None
    return 1 - float(near.mean()) / mean, float(near.std()) / mean / sqrt(len(a)) + 1e-9


def _distances(degrees: NDArray[np.float32], a: Rows, b: Rows) -> NDArray[np.float64]:
    """Kilometres between two places each (haversine)."""
    one, other = np.radians(degrees[a].astype(np.float64)), np.radians(degrees[b].astype(np.float64))
    half = (
        np.sin((one[:, 0] - other[:, 0]) / 2) ** 2
        + np.cos(one[:, 0]) * np.cos(other[:, 0]) * np.sin((one[:, 1] - other[:, 1]) / 2) ** 2
    )
    distances: NDArray[np.float64] = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return distances
