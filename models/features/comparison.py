"""Profiles coded for comparing two people, which is what the affinity weighs."""

import numpy as np
from numpy.typing import NDArray

from models.affinity import CodedProfiles
from models.features.profile import sphere, text_vectors
from models.kernels.affinity import MISSING
from models.profiles import (
    CategoricalColumn,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
    TextColumn,
    TimestampColumn,
    joined_sets,
)

BINS = 12
"""quantiles in which two numbers or times are compared"""
CELL_DEGREES = 0.1
"""side of the cells that places are grouped by, about 11 km from north to south"""


def coded_profiles(profiles: Profiles, text_model: str | None = None) -> CodedProfiles:
    """The columns as codes, sets and points: numbers and times stand in quantiles, texts and places as vectors.

    A place is also a code, its cell of CELL_DEGREES, so that people nearby are a group; only its point votes.
    """
    codes: list[NDArray[np.int32]] = []
    cardinality: list[int] = []
    votes: list[bool] = []
    points: list[NDArray[np.float32]] = []
    sets: list[MultiColumn] = []
    for column in profiles.columns.values():
        match column:
            case CategoricalColumn():
                codes.append(column.codes)
                cardinality.append(len(column.values))
                votes.append(True)
            case NumericColumn(numbers):
                codes.append(_quantile(numbers))
                cardinality.append(BINS)
                votes.append(True)
            case TimestampColumn(seconds):
                codes.append(_quantile(seconds))
                cardinality.append(BINS)
                votes.append(True)
            case MultiColumn():
                sets.append(column)
            case LocationColumn(degrees):
                points.append(sphere(degrees))
                cells = _cells(degrees)
                codes.append(cells)
                cardinality.append(int(cells.max(initial=MISSING)) + 1)
                votes.append(False)
            case TextColumn():
                points.append(text_vectors(column, text_model))
    n = profiles.n
    set_indptr, set_codes = joined_sets(n, sets)
    spans = np.cumsum([0, *(part.shape[1] for part in points)]).astype(np.int64)
    return CodedProfiles(
        codes=np.stack(codes, axis=1).astype(np.int32) if codes else np.zeros((n, 0), np.int32),
        cardinality=np.array(cardinality, dtype=np.int64),
        votes=np.array(votes, dtype=np.bool_),
        set_indptr=set_indptr,
        set_codes=set_codes,
        set_size=sum(len(column.values) for column in sets),
        points=np.concatenate([np.zeros((n, 0), np.float32), *points], axis=1).astype(np.float32),
        point_spans=spans,
    )


def _quantile(numbers: NDArray[np.float64]) -> NDArray[np.int32]:
    """(n,) int32 quantile of each number, 0 to BINS - 1."""
    known = ~np.isnan(numbers)
    if not known.any():
        return np.full(len(numbers), MISSING, np.int32)
    edges = np.quantile(numbers[known], np.linspace(0, 1, BINS + 1)[1:-1])
    return np.where(known, np.searchsorted(edges, numbers, side="right"), MISSING).astype(np.int32)


def _cells(degrees: NDArray[np.float32]) -> NDArray[np.int32]:
    """(n,) int32 code of the cell of each (latitude, longitude), numbered from 0 in the order of the cells."""
    known = ~np.isnan(degrees).any(axis=1)
    codes = np.full(len(degrees), MISSING, np.int32)
    cells = np.floor(degrees[known].astype(np.float64) / CELL_DEGREES).astype(np.int64)
    codes[known] = np.unique(cells, axis=0, return_inverse=True)[1].ravel()
    return codes
